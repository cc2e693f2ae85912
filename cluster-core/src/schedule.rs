//! Who gets the next connection.

mod rules;
mod sticky;
mod view;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::address::Address;
use crate::limits::STICKY_BOUND_DEFAULT;

pub use sticky::Key;
pub use view::{Candidate, Choice, View};

/// A rule by which a worker is found for a connection.
///
/// Under [`None`](Self::None) and [`Sharded`](Self::Sharded) workers accept for themselves. By
/// all others the primary accepts and hands over; what they cannot decide (a connection that a
/// worker gives back under `None`, say) is decided as [`RoundRobin`](Self::RoundRobin) does.
///
/// Another one may come into force while workers listen. Which of these three ways of accepting is
/// a listener's own, and stays as it was when its address was first listened on; whenever the
/// primary hands a connection over, the schedule in force chooses.
///
/// Datagrams have no connection that could be handed over: their sockets are each worker's own
/// under `Sharded`, and shared by all workers otherwise, as in Node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// One after the other. A worker whose window is full (it has as many connections untaken as
    /// it may) is passed over, and makes up for it later: it is owed the turns that it has missed,
    /// [`TURNS_OWED`](crate::limits::TURNS_OWED) at most. When all windows are full, connections
    /// wait. (Node: `cluster.SCHED_RR`, where a worker has at most one untaken connection.)
    #[default]
    RoundRobin,
    /// The primary does not choose: workers accept from the listening socket themselves, and
    /// the kernel wakes whichever it likes. There is no hop through the primary, and no
    /// fairness. (Node: `cluster.SCHED_NONE`.)
    None,
    /// Each worker accepts from a socket of its own, and the kernel spreads connections evenly
    /// over the sockets (`SO_REUSEPORT` with a program, see socket(7)). There is no hop through
    /// the primary, but for what is queued for a worker that is gone, blocked, leaving or
    /// cordoned off: the primary accepts that and hands it over. Unix sockets and inherited
    /// descriptors cannot be spread so; their connections go round.
    ///
    /// The socket is chosen when a connection arrives. What is queued stays in its socket, which
    /// the next worker inherits; until then, the primary accepts from it. Datagrams stay for
    /// whoever inherits the socket. A worker that listens before the one that it replaces leaves
    /// gets one more socket, and the next one inherits that of the old one. While a program of the
    /// same user has joined the sockets of an address (it gets nothing), no further one can be
    /// opened: a worker that needs one gets `AddrInUse` when it listens.
    ///
    /// As long as a worker accepts so, the primary wakes every
    /// [`STALLED_CHECK`](crate::limits::STALLED_CHECK) for each TCP listener, to see whether
    /// connections are queued. For each further socket that is opened, not for one that is
    /// inherited, it reads the kernel's table of sockets (`/proc/net/tcp` or its like), which has a
    /// line for each. The kernel spreads over 2,000 workers of a listener at most: with more, it
    /// goes on as it did before, and an error tells so.
    Sharded,
    /// Whoever has fewest connections, untaken and unfinished ones together.
    ///
    /// Unfinished ones are those of tracked streams (`accept_tracked` in the adapters), until these
    /// are dropped. A stream from a plain `accept` counts as finished at once, and then only
    /// untaken ones tell workers apart. So it is under all schedules that [count](Self::counts).
    LeastLoaded,
    /// Whoever has fewer connections of two workers that are picked at random: nearly as even
    /// as [`LeastLoaded`](Self::LeastLoaded), and new workers are not overrun.
    PowerOfTwo,
    /// The same peer goes to the same worker, as long as that worker shares the listener. While
    /// it is cordoned off or has stalled, its peers go to others. A worker that comes gets some
    /// peers of each.
    Sticky {
        /// What makes two peers the same.
        by: Key,
        /// How many hundredths of an equal part of all connections a worker may have before
        /// new ones go to the next worker of their peer: 125 lets it have a quarter more than
        /// its part; less than 100 is refused. Without a bound, peers wait for their worker,
        /// however loaded it is.
        bound: Option<NonZeroU32>,
    },
    /// A rule of one's own.
    Custom(Rule),
}

/// A rule of one's own: a pure function of what there is to see.
#[derive(Clone, Copy)]
pub struct Rule(pub fn(&View<'_>) -> Choice);

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rule(..)")
    }
}

impl PartialEq for Rule {
    /// Whether both are the same function; functions that do the same may be different ones.
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.0, other.0)
    }
}

impl Eq for Rule {}

impl Schedule {
    /// Chooses a worker. A choice depends on nothing but the view.
    pub fn choose(self, view: &View<'_>) -> Choice {
        match self {
            Self::RoundRobin | Self::None | Self::Sharded => rules::round_robin(view),
            Self::LeastLoaded => rules::least_loaded(view),
            Self::PowerOfTwo => rules::power_of_two(view),
            Self::Sticky { by, bound } => sticky::sticky(view, by, bound),
            Self::Custom(Rule(rule)) => rule(view),
        }
    }

    /// Whether it chooses, of those that have room, whose turn comes first, unless that one is
    /// fresh: the others need not be looked at.
    pub(crate) const fn takes_turns(self) -> bool {
        matches!(self, Self::RoundRobin | Self::None | Self::Sharded)
    }

    /// Whether it asks how many connections workers have not finished, so that they report it.
    pub const fn counts(self) -> bool {
        match self {
            Self::RoundRobin | Self::None | Self::Sharded | Self::Sticky { bound: None, .. } => {
                false
            }
            Self::LeastLoaded
            | Self::PowerOfTwo
            | Self::Sticky { bound: Some(_), .. }
            | Self::Custom(_) => true,
        }
    }

    /// How a listener is shared that was asked for as `requested` and really is at `address`.
    pub(crate) const fn sharing(self, requested: &Address, address: &Address) -> Sharing {
        match (self, requested, address) {
            (Self::Sharded, Address::Tcp(_) | Address::Udp(_), _) => Sharing::Sharded,
            (Self::None, _, _) | (_, _, Address::Udp(_)) => Sharing::Kernel,
            (_, _, Address::Tcp(_) | Address::Unix(_) | Address::Inherited(_)) => {
                Sharing::HandedOver
            }
        }
    }
}

impl FromStr for Schedule {
    type Err = UnknownSchedule;

    /// Takes the names that Node knows, `rr` and `none`, and `sharded`, `least-loaded`,
    /// `power-of-two` and `sticky` (by the peer's IP address, with a bound of
    /// [`STICKY_BOUND_DEFAULT`]).
    fn from_str(name: &str) -> Result<Self, UnknownSchedule> {
        match name {
            "rr" => Ok(Self::RoundRobin),
            "none" => Ok(Self::None),
            "sharded" => Ok(Self::Sharded),
            "least-loaded" => Ok(Self::LeastLoaded),
            "power-of-two" => Ok(Self::PowerOfTwo),
            "sticky" => {
                Ok(Self::Sticky { by: Key::PeerIp, bound: NonZeroU32::new(STICKY_BOUND_DEFAULT) })
            }
            _ => Err(UnknownSchedule(name.to_owned())),
        }
    }
}

/// The text names no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown schedule: {0:?} (there are rr, none, sharded, least-loaded, power-of-two and sticky)"
)]
pub struct UnknownSchedule(pub String);

/// How workers share a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Sharing {
    /// The primary accepts, and hands connections over.
    HandedOver,
    /// Each worker has the socket itself.
    Kernel,
    /// Each worker has a socket of its own on the same address.
    Sharded,
}
