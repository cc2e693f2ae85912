//! An HTTP response, as far as it has come.

/// The bytes of one response.
#[derive(Debug, Default)]
pub(super) struct Response {
    bytes: Vec<u8>,
}

impl Response {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether head and body have come, by what the head says of the body's length.
    pub(super) fn is_whole(&self) -> bool {
        let Some((head, body)) = self.parts() else { return false };
        let is_length = |line: &&[u8]| {
            line.get(..15).is_some_and(|name| name.eq_ignore_ascii_case(b"content-length:"))
        };
        match head.split(|byte| *byte == b'\n').find(is_length) {
            Some(line) => {
                let length = str::from_utf8(&line[15..]).ok().and_then(|it| it.trim().parse().ok());
                length.is_some_and(|length: usize| body.len() >= length)
            }
            // The other way to say where a body ends.
            None => body.ends_with(b"0\r\n\r\n"),
        }
    }

    /// The line of the body that names who answered, of a whole and good response. What comes
    /// next belongs to the next response.
    pub(super) fn take(&mut self) -> Option<String> {
        let answer = self.answer();
        self.bytes.clear();
        answer
    }

    fn answer(&self) -> Option<String> {
        if !self.bytes.starts_with(b"HTTP/1.1 200") || !self.is_whole() {
            return None;
        }
        let (_, body) = self.parts()?;
        let text = str::from_utf8(body).ok()?;
        let names_somebody = |line: &&str| line.contains("pid ");
        text.lines().find(names_somebody).map(|line| line.trim().to_owned())
    }

    fn parts(&self) -> Option<(&[u8], &[u8])> {
        let end = self.bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        Some((&self.bytes[..end], &self.bytes[end + 4..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(text: &str) -> Response {
        let mut response = Response::default();
        response.add(text.as_bytes());
        response
    }

    #[test]
    fn a_response_is_whole_when_its_length_has_come() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 15\r\n\r\nworker 1 pid 7\n";
        assert!(response(text).is_whole());
        for length in 0..text.len() {
            assert!(!response(&text[..length]).is_whole(), "{length}");
            assert_eq!(response(&text[..length]).take(), None, "{length}");
        }
        assert_eq!(response(text).take().as_deref(), Some("worker 1 pid 7"));
    }

    #[test]
    fn a_response_in_chunks_names_who_answered() {
        let text =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nd\r\nsingle pid 7\n\r\n0\r\n\r\n";
        assert_eq!(response(text).take().as_deref(), Some("single pid 7"));
        assert_eq!(response(&text[..text.len() - 1]).take(), None);
    }

    #[test]
    fn what_is_no_answer_counts_for_nobody() {
        let bad = "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 6\r\n\r\npid 7\n";
        assert_eq!(response(bad).take(), None);
        let stranger = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi\n";
        assert_eq!(response(stranger).take(), None);
    }
}
