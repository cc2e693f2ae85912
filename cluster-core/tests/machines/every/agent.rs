//! Every short life of a worker, as its agent sees it.

use std::collections::BTreeSet;

use cluster_core::agent::{Action, Event, Input};
use cluster_core::{
    Agent, Grant, HandleName, HandleToken, ListenError, ListenSpec, ListenerId, Output, RequestId,
    Sharing, Signal, ToPrimary, ToWorker,
};

use super::{Trial, every_sequence};
use crate::world::{tcp, udp};

/// What can happen to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Letter {
    // Commands.
    Listen,
    Close,
    TakeOut,
    GiveBack,
    Finished,
    Disconnect,
    Kill,
    CloseChannel,
    // What the primary says.
    Passage,
    PassageStray,
    PassageLost,
    Granted,
    GrantedAgain,
    GrantedWithSocket,
    GrantedSocketLost,
    GrantedForDatagrams,
    Denied,
    Cordoned,
    Uncordoned,
    Probed,
    ToldToReport,
    ToldNotToReport,
    AskedToLeave,
    LeaveNoted,
    Unexpected,
    // The rest of the world.
    ChannelEnds,
    Idle,
}

use Letter::*;

const ALPHABET: [Letter; 27] = [
    Listen,
    Close,
    TakeOut,
    GiveBack,
    Finished,
    Disconnect,
    Kill,
    CloseChannel,
    Passage,
    PassageStray,
    PassageLost,
    Granted,
    GrantedAgain,
    GrantedWithSocket,
    GrantedSocketLost,
    GrantedForDatagrams,
    Denied,
    Cordoned,
    Uncordoned,
    Probed,
    ToldToReport,
    ToldNotToReport,
    AskedToLeave,
    LeaveNoted,
    Unexpected,
    ChannelEnds,
    Idle,
];

impl Letter {
    const fn is_granted(self) -> bool {
        matches!(
            self,
            Granted | GrantedAgain | GrantedWithSocket | GrantedSocketLost | GrantedForDatagrams
        )
    }
}

/// No promise is needed here: anything may come at any time.
#[test]
fn every_life_from_its_start() {
    every_sequence("agent, from its start", &ALPHABET, 6, || Life::begin(&[]));
}

#[test]
fn every_life_with_a_listener() {
    let before = [Listen, Passage, Granted, Listen, TakeOut];
    every_sequence("agent, listening", &ALPHABET, 6, || Life::begin(&before));
}

#[derive(Debug)]
struct Life {
    agent: Agent,
    /// Listeners that were granted, and not closed.
    listeners: BTreeSet<ListenerId>,
    granted: u32,
    requests: BTreeSet<RequestId>,
    /// What the primary says just now, and whether a socket that came with it is adopted, and a
    /// passage that came before it.
    heard: Option<Letter>,
    adopted: bool,
    adopted_passage: Option<ListenerId>,
    tokens: u64,
    /// In the agent's hands.
    held: BTreeSet<HandleName>,
    /// The listener of the passage among them.
    announced: Option<ListenerId>,
    /// The application has an end of a passage.
    has_passage: bool,
    /// Connections in the application's hands.
    taken: Vec<HandleName>,
    end: End,
    /// The primary wants to know of ends, has been told of so many, and does not know of so many.
    counted: bool,
    finished: u64,
    unsaid: u64,
    cordoned: bool,
    answered_probe: bool,
    reported: bool,
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
            adopted_passage: None,
            tokens: 0,
            held: BTreeSet::new(),
            announced: None,
            has_passage: false,
            taken: Vec::new(),
            end: End::None,
            counted: false,
            finished: 0,
            unsaid: 0,
            cordoned: false,
            answered_probe: false,
            reported: false,
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
            // The agent has no part in it.
            TakeOut => {
                self.tokens += 1;
                self.taken.push(HandleName(self.tokens));
            }
            GiveBack => {
                let name = self.taken.pop().expect("something was taken");
                self.held.insert(name);
                self.agent.finished(1);
                self.agent.give_back(listener, HandleToken::new(name), None);
            }
            Finished => {
                self.taken.pop().expect("something was taken");
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
        Some(match letter {
            Passage | PassageStray | PassageLost => {
                let next = ListenerId(self.granted + 1);
                let listener = if letter == PassageStray { ListenerId(98) } else { next };
                let passage = (letter != PassageLost).then(|| self.token());
                self.announced = passage.is_some().then_some(listener);
                (ToWorker::Passage { listener }, passage)
            }
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
            GrantedForDatagrams => {
                self.granted += 1;
                let result = grant(self.granted, Sharing::Kernel);
                let result = result.map(|it| Grant { address: udp(53), ..it });
                (ToWorker::Listen { request, result }, Some(self.token()))
            }
            Denied => {
                let result = Err(ListenError::TooMany);
                (ToWorker::Listen { request, result }, None)
            }
            Cordoned => (ToWorker::Cordon, None),
            Uncordoned => (ToWorker::Uncordon, None),
            Probed => (ToWorker::Probe, None),
            ToldToReport => (ToWorker::Report { ends: true }, None),
            ToldNotToReport => (ToWorker::Report { ends: false }, None),
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
        if self.end == End::Over || self.heard.is_some_and(Letter::is_granted) {
            self.announced = None;
        }
        let announced = usize::from(self.announced.is_some());
        assert_eq!(self.held.len(), announced, "what came in is a passage or is out");
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
    }

    fn check_action(&mut self, action: Action) {
        match action {
            Action::Send { message, handle } => {
                assert_eq!(self.end, End::None, "nothing is said after the end");
                assert_eq!(message.handles(), usize::from(handle.is_some()));
                match message {
                    ToPrimary::Finished { count } => {
                        assert!(self.counted, "said where it is wanted");
                        assert!(!self.reported, "what has ended is told before");
                        self.finished += count;
                    }
                    ToPrimary::Reported => self.reported = true,
                    ToPrimary::Awake => self.answered_probe = true,
                    _ => {}
                }
                if let Some(token) = handle {
                    assert!(self.held.remove(&token.name()), "held until now");
                }
            }
            Action::AdoptPassage { listener, passage } => {
                assert_eq!(self.announced, Some(listener), "the right passage");
                assert!(self.held.remove(&passage.name()), "held until now");
                assert_eq!(self.adopted_passage.replace(listener), None, "once");
                self.has_passage = true;
            }
            Action::Adopt { listener: _, socket } => {
                let with_socket =
                    matches!(self.heard, Some(GrantedWithSocket | GrantedForDatagrams));
                assert!(with_socket, "where there is one to adopt");
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
            Event::Listening { request, listener, address, .. } => {
                assert!(self.requests.remove(&request), "answered once");
                assert!(!self.draining, "not while it leaves");
                assert_ne!(self.heard, Some(GrantedSocketLost), "it could never accept");
                let lent = matches!(self.heard, Some(GrantedWithSocket | GrantedForDatagrams));
                assert_eq!(self.adopted, lent, "the socket comes before the news");
                let through = (address == tcp(80)).then_some(listener);
                assert_eq!(self.adopted_passage, through, "and the passage");
                self.listeners.insert(listener);
            }
            Event::ListenFailed { request, .. } => {
                assert!(self.requests.remove(&request), "answered once");
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
        match letter {
            TakeOut => self.has_passage,
            GiveBack | Finished => !self.taken.is_empty(),
            _ => true,
        }
    }

    fn apply(&mut self, letter: Letter) {
        (self.heard, self.adopted, self.adopted_passage) = (Some(letter), false, None);
        let (requested, passage) = (self.requests.len(), self.announced);
        let (finished, open) = (self.finished, self.end == End::None);
        self.counted = match letter {
            ToldToReport if open => true,
            ToldNotToReport if open => false,
            _ if letter.is_granted() && open && requested > 0 => letter == Granted,
            _ => self.counted,
        };
        self.unsaid += u64::from([Finished, GiveBack].contains(&letter));
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
        let said = if self.counted { std::mem::take(&mut self.unsaid) } else { 0 };
        assert_eq!(self.finished - finished, if open { said } else { 0 }, "each end once");
        let told = [ToldToReport, ToldNotToReport].contains(&letter);
        assert_eq!(std::mem::take(&mut self.reported), told && open, "answered at once");
        let answered = std::mem::take(&mut self.answered_probe);
        assert_eq!(answered, letter == Probed && open, "a probe is answered at once");
        assert_eq!(self.agent.is_cordoned(), self.cordoned, "as it was told");
        let granted = [Granted, GrantedWithSocket].contains(&letter) && open && requested > 0;
        let complete = granted && passage == Some(ListenerId(self.granted));
        assert!(self.adopted_passage.is_some() || !complete, "what is complete is taken in");
        (self.heard, self.adopted, self.finished) = (None, false, 0);
        self.adopted_passage = None;
    }
}
