//! A request, whole or in pieces.

/// Each request of a connection but the last.
const MORE: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n";

/// The last request of a connection.
const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

/// One request, as far as it is written.
#[derive(Debug)]
pub(super) struct Request {
    text: &'static [u8],
    /// In how many pieces it goes.
    pieces: usize,
    written: usize,
}

impl Request {
    /// One that goes in so many `pieces`, and after which the server closes the connection or not.
    pub(super) fn new(is_last: bool, pieces: usize) -> Self {
        let text = if is_last { LAST } else { MORE };
        // No piece is empty: to write nothing is to do nothing.
        Self { text, pieces: pieces.clamp(1, text.len()), written: 0 }
    }

    /// What is to be written next.
    pub(super) fn piece(&self) -> &'static [u8] {
        let end = |pieces| self.text.len() * pieces / self.pieces;
        &self.text[end(self.written)..end((self.written + 1).min(self.pieces))]
    }

    /// That piece has been written.
    pub(super) fn advance(&mut self) {
        self.written += 1;
    }

    pub(super) fn is_begun(&self) -> bool {
        self.written > 0
    }

    pub(super) fn is_written(&self) -> bool {
        self.written >= self.pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(mut request: Request) -> Vec<&'static [u8]> {
        let mut pieces = Vec::new();
        while !request.is_written() {
            assert_eq!(request.is_begun(), !pieces.is_empty());
            pieces.push(request.piece());
            request.advance();
        }
        assert_eq!(request.piece(), b"");
        pieces
    }

    #[test]
    fn the_pieces_are_as_many_as_wanted_and_make_up_the_request() {
        for wanted in [1, 2, 7, 10, LAST.len()] {
            let pieces = pieces(Request::new(true, wanted));
            assert_eq!(pieces.len(), wanted);
            assert!(pieces.iter().all(|piece| !piece.is_empty()), "{pieces:?}");
            assert_eq!(pieces.concat(), LAST);
        }
        assert_eq!(pieces(Request::new(false, 1)), [MORE]);
    }

    #[test]
    fn there_are_no_empty_pieces() {
        assert_eq!(pieces(Request::new(true, LAST.len() + 1)).len(), LAST.len());
        assert_eq!(pieces(Request::new(true, 0)), [LAST]);
    }
}
