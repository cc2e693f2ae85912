//! Every short life of a worker, as its agent sees it.

use std::collections::BTreeSet;

use cluster_core::agent::{Action, Event, Input};
use cluster_core::{
    Agent, Grant, HandleName, HandleToken, HandoffId, ListenError, ListenSpec, ListenerId, Output,
    RequestId, Sharing, Signal, ToPrimary, ToWorker,
};

use super::{Trial, every_sequence};
use crate::world::tcp;

/// What can happen to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letter {
    // Commands.
    Listen,
    Close,
    Take,
    GiveBack,
    Finished,
    Disconnect,
    Kill,
    CloseChannel,
    // What the primary says.
    Granted,
    GrantedAgain,
    GrantedWithSocket,
    GrantedSocketLost,
    Denied,
    Connection,
    ConnectionStray,
    ConnectionBare,
    Cordoned,
    Uncordoned,
    Probed,
    AskedToLeave,
    LeaveNoted,
    Unexpected,
    // The rest of the world.
    ChannelEnds,
    Idle,
}

use Letter::*;

const ALPHABET: [Letter; 24] = [
    Listen,
    Close,
    Take,
    GiveBack,
    Finished,
    Disconnect,
    Kill,
    CloseChannel,
    Granted,
    GrantedAgain,
    GrantedWithSocket,
    GrantedSocketLost,
    Denied,
    Connection,
    ConnectionStray,
    ConnectionBare,
    Cordoned,
    Uncordoned,
    Probed,
    AskedToLeave,
    LeaveNoted,
    Unexpected,
    ChannelEnds,
    Idle,
];

/// No promise is needed here: anything may come at any time.
#[test]
fn every_life_from_its_start() {
    every_sequence("agent, from its start", &ALPHABET, 6, || Life::begin(&[]));
}

#[test]
fn every_life_with_a_listener() {
    let before = [Listen, Granted, Listen, Connection];
    every_sequence("agent, listening", &ALPHABET, 6, || Life::begin(&before));
}

#[derive(Debug)]
struct Life {
    agent: Agent,
    /// Listeners that were granted, and not closed.
    listeners: BTreeSet<ListenerId>,
    granted: u32,
    requests: BTreeSet<RequestId>,
    /// What the primary says just now, and whether a socket that came with it is adopted.
    heard: Option<Letter>,
    adopted: bool,
    tokens: u64,
    /// In the agent's hands.
    held: BTreeSet<HandleName>,
    /// In the application's.
    delivered: Vec<HandleName>,
    /// Hand-offs that the primary waits for an answer to.
    unanswered: BTreeSet<HandoffId>,
    end: End,
    /// The primary wants to know of ends, and has been told of so many.
    counted: bool,
    finished: u32,
    cordoned: bool,
    answered_probe: bool,
    disconnected: bool,
    draining: bool,
    ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    None,
    /// The agent closed the channel, or was told of its end.
    Over,
}

impl Life {
    fn begin(before: &[Letter]) -> Self {
        let mut life = Self {
            agent: Agent::new(),
            listeners: BTreeSet::new(),
            granted: 0,
            requests: BTreeSet::new(),
            heard: None,
            adopted: false,
            tokens: 0,
            held: BTreeSet::new(),
            delivered: Vec::new(),
            unanswered: BTreeSet::new(),
            end: End::None,
            counted: false,
            finished: 0,
            cordoned: false,
            answered_probe: false,
            disconnected: false,
            draining: false,
            ended: false,
        };
        life.drain();
        for letter in before {
            life.apply(*letter);
        }
        life
    }

    fn listener(&self) -> ListenerId {
        self.listeners.first().copied().unwrap_or(ListenerId(99))
    }

    fn token(&mut self) -> HandleToken {
        self.tokens += 1;
        self.held.insert(HandleName(self.tokens));
        HandleToken::new(HandleName(self.tokens))
    }

    fn command(&mut self, letter: Letter) {
        let listener = self.listener();
        match letter {
            Listen => {
                let request = self.agent.listen(ListenSpec::new(tcp(80)));
                assert!(self.requests.insert(request), "a request has a name of its own");
            }
            Close => {
                self.listeners.remove(&listener);
                self.agent.close(listener);
            }
            Take => {
                let waiting = self.agent.untaken(listener);
                assert_eq!(self.agent.take(listener), waiting > 0, "says whether there was one");
            }
            GiveBack => {
                let name = self.delivered.pop().expect("something was delivered");
                self.held.insert(name);
                self.agent.give_back(listener, HandleToken::new(name), None);
            }
            Finished => {
                self.delivered.pop().expect("something was delivered");
                self.agent.finished(1);
            }
            Disconnect => self.agent.disconnect(),
            Kill => self.agent.kill(Signal::TERM),
            _ => self.agent.close_channel(),
        }
    }

    fn message(&mut self, letter: Letter) -> Option<(ToWorker, Option<HandleToken>)> {
        let request = self.requests.first().copied().unwrap_or(RequestId(99));
        let grant = |number, sharing| {
            let (listener, counted) = (ListenerId(number), letter == Granted);
            Ok(Grant { listener, address: tcp(80), sharing, counted, data: Vec::new() })
        };
        let listener = match letter {
            Connection | ConnectionBare => self.listener(),
            _ => ListenerId(98),
        };
        Some(match letter {
            Granted => {
                self.granted += 1;
                let result = grant(self.granted, Sharing::HandedOver);
                (ToWorker::Listen { request, result }, None)
            }
            GrantedWithSocket | GrantedSocketLost => {
                self.granted += 1;
                let sharing = [Sharing::Kernel, Sharing::Sharded][self.granted as usize % 2];
                let result = grant(self.granted, sharing);
                let socket = (letter == GrantedWithSocket).then(|| self.token());
                (ToWorker::Listen { request, result }, socket)
            }
            GrantedAgain => {
                let result = grant(1, Sharing::HandedOver);
                (ToWorker::Listen { request, result }, None)
            }
            Denied => {
                let result = Err(ListenError::TooMany);
                (ToWorker::Listen { request, result }, None)
            }
            Connection | ConnectionStray | ConnectionBare => {
                let handle = (letter != ConnectionBare).then(|| self.token());
                self.tokens += u64::from(letter == ConnectionBare);
                let handoff = HandoffId(self.tokens);
                if self.end == End::None {
                    self.unanswered.insert(handoff);
                }
                (ToWorker::Connection { listener, handoff, peer: None }, handle)
            }
            Cordoned => (ToWorker::Cordon, None),
            Uncordoned => (ToWorker::Uncordon, None),
            Probed => (ToWorker::Probe, None),
            AskedToLeave => (ToWorker::Disconnect, None),
            LeaveNoted => (ToWorker::LeaveNoted, None),
            Unexpected => (ToWorker::LeaveNoted, Some(self.token())),
            _ => return None,
        })
    }

    fn drain(&mut self) {
        loop {
            match self.agent.poll_output() {
                Output::Action(action) => self.check_action(action),
                Output::Event(event) => self.check_event(event),
                Output::Wait(at) => {
                    assert_eq!(at, None, "no deadlines");
                    assert_eq!(self.agent.poll_output(), Output::Wait(None), "polled again");
                    break;
                }
            }
        }
        let untaken: usize = self.listeners.iter().map(|it| self.agent.untaken(*it)).sum();
        assert_eq!(untaken, self.held.len(), "what came in lies here or is out");
        assert_eq!(self.agent.is_connected(), self.end == End::None);
        assert_eq!(self.disconnected, self.end == End::Over, "the end is told at once");
        let flag = match (self.draining, self.end) {
            (true, _) => Some(true),
            (false, End::Over) => Some(false),
            (false, End::None) => None,
        };
        assert_eq!(self.agent.exited_after_disconnect(), flag);
        assert_eq!(self.agent.is_leaving(), self.draining);
        if self.draining || self.end == End::Over {
            assert!(self.requests.is_empty(), "every request is answered");
        }
        if self.end == End::None {
            assert_eq!(self.unanswered.len(), untaken, "what does not lie here is answered");
        }
    }

    fn check_action(&mut self, action: Action) {
        match action {
            Action::Send { message, handle } => {
                assert_eq!(self.end, End::None, "nothing is said after the end");
                assert_eq!(message.handles(), usize::from(handle.is_some()));
                match message {
                    ToPrimary::Taken { handoff } | ToPrimary::Refused { handoff } => {
                        assert!(self.unanswered.remove(&handoff), "answered once");
                    }
                    ToPrimary::Finished { count } => {
                        assert!(self.counted, "said where it is wanted");
                        self.finished += count;
                    }
                    ToPrimary::Awake => self.answered_probe = true,
                    _ => {}
                }
                if let Some(token) = handle {
                    assert!(self.held.remove(&token.name()), "held until now");
                }
            }
            Action::Deliver { connection, .. } => {
                assert!(self.held.remove(&connection.name()), "held until now");
                self.delivered.push(connection.name());
            }
            Action::Adopt { listener: _, socket } => {
                assert_eq!(self.heard, Some(GrantedWithSocket), "where there is one to adopt");
                assert!(self.held.remove(&socket.name()), "held until now");
                assert!(!std::mem::replace(&mut self.adopted, true), "once");
            }
            Action::Close { connection } => {
                assert!(self.held.remove(&connection.name()), "held until now");
            }
            Action::WatchIdle => assert!(self.draining, "only who leaves waits for that"),
            Action::CloseChannel => {
                assert_eq!(self.end, End::None, "closed once");
                self.end = End::Over;
            }
            Action::Exit { .. } | Action::Raise { .. } => {
                assert_eq!(self.end, End::Over, "not before the channel is closed");
                assert!(!std::mem::replace(&mut self.ended, true), "the process ends once");
            }
        }
    }

    fn check_event(&mut self, event: Event) {
        match event {
            Event::Listening { request, listener, .. } => {
                assert!(self.requests.remove(&request), "answered once");
                assert!(!self.draining, "not while it leaves");
                assert_ne!(self.heard, Some(GrantedSocketLost), "it could never accept");
                let lent = self.heard == Some(GrantedWithSocket);
                assert_eq!(self.adopted, lent, "the socket comes before the news");
                self.listeners.insert(listener);
            }
            Event::ListenFailed { request, .. } => {
                assert!(self.requests.remove(&request), "answered once");
            }
            Event::Available { listener } => {
                assert!(self.agent.untaken(listener) > 0, "there is one to take");
            }
            Event::Cordoned { cordoned } => {
                assert_eq!(self.heard, Some(if cordoned { Cordoned } else { Uncordoned }));
                assert_ne!(std::mem::replace(&mut self.cordoned, cordoned), cordoned, "news");
            }
            Event::Closed { listener } => {
                assert!(self.listeners.remove(&listener), "closed once");
            }
            Event::Draining => {
                assert!(!std::mem::replace(&mut self.draining, true), "told once");
            }
            Event::Disconnect => {
                assert!(!std::mem::replace(&mut self.disconnected, true), "told once");
            }
        }
    }
}

impl Trial for Life {
    type Letter = Letter;

    fn allows(&self, letter: Letter) -> bool {
        !matches!(letter, GiveBack | Finished) || !self.delivered.is_empty()
    }

    fn apply(&mut self, letter: Letter) {
        (self.heard, self.adopted) = (Some(letter), false);
        self.counted |= letter == Granted && self.end == End::None && !self.requests.is_empty();
        let (finished, open) = (self.finished, self.end == End::None);
        if let Some((message, handle)) = self.message(letter) {
            self.agent.handle_input(Input::Received { message, handle });
        } else if letter == ChannelEnds {
            self.end = End::Over;
            self.agent.handle_input(Input::ChannelClosed);
        } else if letter == Idle {
            self.agent.handle_input(Input::Idle);
        } else {
            self.command(letter);
        }
        self.drain();
        let said = u32::from(letter == Finished && self.counted && open);
        assert_eq!(self.finished - finished, said, "each end once");
        let answered = std::mem::take(&mut self.answered_probe);
        assert_eq!(answered, letter == Probed && open, "a probe is answered at once");
        assert_eq!(self.agent.is_cordoned(), self.cordoned, "as it was told");
        (self.heard, self.adopted, self.finished) = (None, false, 0);
    }
}
