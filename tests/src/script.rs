//! The language in which tests tell fixture programs what to do.

use std::collections::BTreeMap;
use std::net::SocketAddr;

// The same for all runtimes.
use cluster_tokio::ListenOptions;
use serde::{Deserialize, Serialize};

/// The environment variable with a worker's [`Script`], in JSON.
pub const SCRIPT: &str = "CLUSTER_TESTS_SCRIPT";

/// What a worker does before it takes its first message.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Script {
    /// Before it knows its role.
    pub early: Vec<Early>,
    /// As a worker.
    pub steps: Vec<Step>,
}

/// What a worker does before it knows its role. It knows nobody whom it could tell, and so it
/// tells later.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Early {
    /// Lists its descriptors; answers [`Report::Descriptors`].
    Descriptors,
    /// Starts a process that inherits the channel and holds it until this gate opens.
    HoldChannel(SocketAddr),
}

/// One thing that a worker does. It answers [`Report::Done`] unless it says otherwise; what ends
/// the worker or its channel answers nothing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Step {
    /// Answers [`Report::Text`] with this text.
    Say(String),
    /// Says the numbers from 1 to this one, each as a [`Report::Text`], and nothing else.
    Count(u32),
    /// Answers [`Report::Rich`] with this value.
    Repeat(Rich),
    /// Answers [`Report::Variable`] with a variable of its environment.
    Environment(String),
    /// Answers [`Report::Text`] with its working directory.
    Directory,
    /// Answers [`Report::Text`] with what the crate says about its role.
    Role,
    /// Answers [`Report::Text`] with the role of a child that inherits its environment.
    RoleOfChild,
    /// Answers [`Report::Descriptors`].
    Descriptors,
    /// Answers [`Report::Text`] with its arguments, a blank between them.
    Arguments,
    /// Prints the first text as a line, and the second one as a line of its error output.
    Print(String, String),
    /// Answers [`Report::Text`] with all that there is on its standard input, to its end.
    ReadInput,

    /// Listens on `IP:PORT`, a name, `unix:PATH`, `fd:NUMBER` (of the primary), `udp:IP:PORT` or
    /// `udp:fd:NUMBER`, and keeps the listener or UDP socket under this number. Answers
    /// [`Report::Listening`] or [`Report::Failed`].
    Listen(u8, String),
    /// Like [`Step::Listen`], with options.
    ListenWith(u8, String, Options),
    /// Begins to listen and drops the future when it has been polled once.
    ListenAndDrop(String),
    /// Begins to listen and leaves gracefully, usually before there is an answer.
    ListenAndLeave(String),
    /// Drops a listener.
    Close(u8),
    /// Accepts for ever, beside the next steps: each connection is told this worker's number, in
    /// a line, and then gets back what it sends. A UDP socket answers each datagram with this
    /// worker's number, a blank, and the datagram.
    Serve(u8),
    /// Waits for one datagram. Answers [`Report::Text`] with it.
    Receive(u8),
    /// Sends a datagram.
    Send(u8, SocketAddr, String),
    /// Answers [`Report::Text`] with what the first worker that listened there gave for all.
    Data(u8),
    /// Accepts one connection, and sends it with [`Report::Text`].
    Give(u8),
    /// Takes the handle that comes with this message: a listener or a UDP socket is kept under
    /// this number, a connection is served as one that was accepted. Answers [`Report::Text`]
    /// with what it is.
    Adopt(u8),
    /// Accepts one connection, asks whether its descriptor is non-blocking, and drops it.
    /// Answers [`Report::Text`] with `true` or `false`.
    IsNonblocking(u8),

    /// Goes to this gate and waits until it opens, without holding up the runtime.
    Wait(SocketAddr),
    /// Sends messages of this many bytes with `try_send` until there is no room for long, but at
    /// most so many; then goes to this gate and waits until it opens. Answers [`Report::Filled`].
    Fill {
        /// The gate.
        gate: SocketAddr,
        /// How large each message is.
        bytes: usize,
        /// How many messages are sent at most.
        most: u32,
    },
    /// Has something under way for ever.
    Stay,
    /// Says what is to be done when the channel is closed.
    AtEnd(AtEnd),

    /// Leaves gracefully.
    Disconnect,
    /// Closes the channel as by accident.
    CloseChannel,
    /// Ends itself by a signal through the cluster.
    Kill(String),
    /// Leaves gracefully, and ends itself by a signal when the channel is closed.
    DisconnectThenKill(String),
    /// Leaves gracefully, and begins to receive when the channel is closed. Exits with 20 if it
    /// learns at once that nothing comes, else with 21.
    DisconnectThenReceive,
    /// Exits at once.
    Exit(i32),
    /// Sends a text and exits with 0 as soon as it is written.
    SayAndExit(String),
    /// Panics, silently.
    Panic,
    /// Answers, and keeps its thread busy for ever.
    BusyLoop,
}

/// How to listen: the options of the crate's own `ListenOptions`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "they are named as their originals")]
pub struct Options {
    pub backlog: Option<u32>,
    pub ipv6_only: bool,
    pub reuse_address: bool,
    pub reuse_port: bool,
    pub exclusive: bool,
    pub readable_all: bool,
    pub writable_all: bool,
    pub data: String,
}

impl From<Options> for ListenOptions {
    fn from(options: Options) -> Self {
        let with = Self::new()
            .ipv6_only(options.ipv6_only)
            .reuse_address(options.reuse_address)
            .reuse_port(options.reuse_port)
            .exclusive(options.exclusive)
            .readable_all(options.readable_all)
            .writable_all(options.writable_all)
            .data(options.data);
        match options.backlog {
            Some(connections) => with.backlog(connections),
            None => with,
        }
    }
}

/// What a worker that is leaving does when its channel is closed, before it exits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AtEnd {
    /// Nothing: it exits with 0.
    #[default]
    Nothing,
    /// It exits with this status.
    Exit(i32),
    /// It goes to this gate, waits until it opens, and exits with 0.
    Wait(SocketAddr),
    /// It exits with 21 if it still is connected, with 22 if it can still send, and else with 20.
    Tell,
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Report {
    /// The step is done.
    Done,
    /// A text.
    Text(String),
    /// A variable, if it is set.
    Variable(Option<String>),
    /// Descriptors and what they are, as the system names it.
    Descriptors(BTreeMap<u32, String>),
    /// There is a listener with this address.
    Listening(String),
    /// What was tried has failed; the error's kind.
    Failed(String),
    /// So many messages were accepted.
    Filled(u32),
    /// A value of many kinds.
    Rich(Rich),
    /// A message was no step.
    Undecodable,
}

/// A value of many kinds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rich {
    /// The largest numbers.
    pub numbers: (u64, i64, f64),
    /// Text beyond ASCII.
    pub text: String,
    /// Bytes.
    pub bytes: Vec<u8>,
    /// Something, or nothing.
    pub options: Vec<Option<bool>>,
    /// Keys and values.
    pub map: BTreeMap<String, char>,
    /// Values within values.
    pub children: Vec<Self>,
}

/// What a fixture program does that no cluster has started: its one argument, in JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Task {
    /// Prints `primary` or `worker N`, or `error:` and why there is no role.
    Role,
    /// Goes to this gate, waits until it opens, and exits.
    Hold(SocketAddr),
    /// Is a primary: prints a line for each event, for each answer `report WORKER REPORT`.
    Primary {
        /// For each worker to fork, what it is told.
        workers: Vec<Vec<Step>>,
        /// What follows when it gets a line, or the end, on its standard input.
        end: End,
    },
}

/// How a fixture primary ends.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub enum End {
    /// It disconnects its workers, and exits with 0.
    Disconnect,
    /// It returns from `main` with this status.
    Return(u8),
    /// It exits with this status, from within.
    Exit(i32),
    /// It panics, silently.
    Panic,
}
