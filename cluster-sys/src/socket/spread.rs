//! Programs that spread what comes to a port over the sockets that share it.
//!
//! Sockets with `SO_REUSEPORT` on one address form a group, in the order in which they joined
//! it. A classic BPF program (`SO_ATTACH_REUSEPORT_CBPF`, socket(7)) answers for each new
//! connection, or datagram, at which place in that order the socket is that gets it. It needs no
//! privilege. TCP sees the program when a connection arrives: what is queued stays where it is.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::libc;

use crate::limits::PLACES_MAX;

/// What a socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Each connection goes anywhere.
    Connections,
    /// Datagrams of one peer stay together.
    Datagrams,
}

/// Has the kernel spread over the sockets at these places of a group, evenly.
///
/// # Errors
///
/// Those of setsockopt(2); `EINVAL` for no places or more than [`PLACES_MAX`].
pub(super) fn attach(socket: BorrowedFd<'_>, kind: Kind, places: &[usize]) -> io::Result<()> {
    if places.is_empty() || places.len() > PLACES_MAX {
        return Err(Errno::EINVAL.into());
    }
    let mut program = program(kind, places);
    let length = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let fprog = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: `fprog` and the program that it points to live during the call, which copies both.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const fprog).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    Ok(Errno::result(result).map(drop)?)
}

fn program(kind: Kind, places: &[usize]) -> Vec<libc::sock_filter> {
    let mut program = match kind {
        Kind::Connections => vec![instruction(LOAD, EXTENSION + RANDOM)],
        Kind::Datagrams => flow(),
    };
    let count = places.len() as u32;
    program.push(instruction(MODULO, count));
    for (number, place) in exceptions(places) {
        program.push(jump(JUMP_IF_EQUAL, number, 0, 1));
        program.push(instruction(RETURN, place));
    }
    program.push(instruction(RETURN_ACCUMULATOR, 0));
    program
}

/// Turns numbers below the count of places into places: most are the place itself, and those
/// that are not get one of the places above.
fn exceptions(places: &[usize]) -> Vec<(u32, u32)> {
    let count = places.len();
    let holes = (0..count).filter(|number| !places.contains(number));
    let above = places.iter().filter(|place| **place >= count);
    holes.zip(above).map(|(hole, place)| (hole as u32, *place as u32)).collect()
}

/// Leaves a number in the accumulator that is made of a datagram's source address and port.
fn flow() -> Vec<libc::sock_filter> {
    let v6 = [
        // The address's last eight bytes, and the port behind a header of 40.
        instruction(LOAD, NETWORK + 16),
        instruction(TO_X, 0),
        instruction(LOAD, NETWORK + 20),
        instruction(XOR_X, 0),
        instruction(MULTIPLY, SCATTER),
        instruction(TO_X, 0),
        instruction(LOAD_HALF, NETWORK + 40),
    ];
    let v4 = [
        // The address, and the port behind a header of 20.
        instruction(LOAD, NETWORK + 12),
        instruction(MULTIPLY, SCATTER),
        instruction(TO_X, 0),
        instruction(LOAD_HALF, NETWORK + 20),
    ];
    let version = [
        instruction(LOAD_BYTE, NETWORK),
        instruction(SHIFT_RIGHT, 4),
        jump(JUMP_IF_EQUAL, 4, v6.len() as u8 + 1, 0),
    ];
    let over_v4 = [instruction(JUMP, v4.len() as u32)];
    let mixed = [
        instruction(MULTIPLY, SCATTER),
        instruction(XOR_X, 0),
        instruction(MULTIPLY, SCATTER),
        // The high bits are the scattered ones.
        instruction(SHIFT_RIGHT, 8),
    ];
    [&version[..], &v6, &over_v4, &v4, &mixed].concat()
}

const fn instruction(code: u32, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf: 0, k }
}

const fn jump(code: u32, k: u32, if_true: u8, if_false: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: if_true, jf: if_false, k }
}

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const LOAD_HALF: u32 = libc::BPF_LD | libc::BPF_H | libc::BPF_ABS;
const LOAD_BYTE: u32 = libc::BPF_LD | libc::BPF_B | libc::BPF_ABS;
const MODULO: u32 = libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K;
const MULTIPLY: u32 = libc::BPF_ALU | libc::BPF_MUL | libc::BPF_K;
const SHIFT_RIGHT: u32 = libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K;
const XOR_X: u32 = libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X;
const TO_X: u32 = libc::BPF_MISC | libc::BPF_TAX;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;
const RETURN_ACCUMULATOR: u32 = libc::BPF_RET | libc::BPF_A;

/// Offsets from here on are extensions (`SKF_AD_OFF` of linux/filter.h).
const EXTENSION: u32 = libc::SKF_AD_OFF as u32;
const RANDOM: u32 = libc::SKF_AD_RANDOM as u32;
/// Offsets from here on count from the network header (`SKF_NET_OFF`).
const NETWORK: u32 = libc::SKF_NET_OFF as u32;
/// An odd number near 2³² divided by the golden ratio: what it is multiplied by is scattered.
const SCATTER: u32 = 0x9e37_79b1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_from_above() {
        assert_eq!(exceptions(&[0, 1, 2]), []);
        assert_eq!(exceptions(&[0, 2, 3]), [(1, 3)]);
        assert_eq!(exceptions(&[5]), [(0, 5)]);
        assert_eq!(exceptions(&[1, 4, 2, 9]), [(0, 4), (3, 9)]);
    }
}
