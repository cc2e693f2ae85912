//! The loop: the host, the sockets, and the steps that wait for neither.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::process::{ExitCode, exit};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use cluster_sys::invitation::Invitation;
use cluster_sys::worker::{Command, Notice, Share};
use cluster_sys::{
    ListenError, ListenerId, Message, NoRoom, Outgoing, Payload, Progress, Receipt, Signal,
    WorkerHost, listen_error,
};
use cluster_tests::script::{AtEnd, Report, Step};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::early::wait_at;
use super::listeners::Listener;
use super::sockets::{Place, Sockets};

/// A worker on a loop of its own.
pub(super) struct Worker {
    pub(super) host: WorkerHost,
    pub(super) poll: Poll,
    pub(super) sockets: Sockets,
    pub(super) listeners: HashMap<u8, Listener>,
    pub(super) held_up: Option<HeldUp>,
    pub(super) at_end: AtEnd,
    /// The signal by which it ends itself when the channel is closed.
    pub(super) last: Option<Signal>,
    steps: VecDeque<Step>,
    messages: VecDeque<(Message, Receipt)>,
    /// Reports for which there was no room.
    unsaid: VecDeque<Payload>,
    answers: Receiver<Answer>,
    asker: Sender<Answer>,
}

/// Why the next step waits.
pub(super) enum HeldUp {
    /// For an answer.
    Answer,
    /// For the opening of a gate.
    Gate,
    /// For what comes to this listener.
    Wish(u8, Wish),
}

/// What is wanted of the next connection or datagram.
pub(super) enum Wish {
    /// To see what it is.
    Look,
    /// To give the connection to the primary.
    Give,
}

/// What the host has answered.
pub(super) enum Answer {
    /// To a wish to listen under a number, on something with this name.
    Listening(u8, String, Box<Result<Share, ListenError>>),
    /// To a wish to listen that nobody has any more.
    Unwanted(ListenerId),
    /// The last message is written.
    Written,
}

impl Worker {
    pub(super) fn new(invitation: Invitation) -> io::Result<Self> {
        let host = WorkerHost::new(invitation)?;
        let poll = Poll::new()?;
        let host_fd = host.poll_fd().as_raw_fd();
        poll.registry().register(&mut SourceFd(&host_fd), HOST, Interest::READABLE)?;
        let (asker, answers) = channel();
        let (sockets, listeners, at_end) = Default::default();
        let (steps, messages, unsaid) = Default::default();
        let (held_up, last) = (None, None);
        Ok(Self {
            host,
            poll,
            sockets,
            listeners,
            held_up,
            at_end,
            last,
            steps,
            messages,
            unsaid,
            answers,
            asker,
        })
    }

    /// Tells what was found, does the steps, and then those that come, until the channel is
    /// closed.
    pub(super) fn run(mut self, found: Vec<Report>, steps: Vec<Step>) -> io::Result<ExitCode> {
        let mut readiness = Events::with_capacity(64);
        self.steps.extend(steps);
        for report in found {
            self.say(&report);
        }
        loop {
            while self.go_on()? {}
            if !self.host.facts().is_connected() {
                return Ok(self.end());
            }
            let timeout = self.host.poll_timeout();
            let timeout = timeout.map(|it| it.saturating_duration_since(Instant::now()));
            match self.poll.poll(&mut readiness, timeout) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in &readiness {
                self.look_at(event.token())?;
            }
            while self.host.handle_ready(Instant::now()) == Progress::More {}
            if self.host.poll_timeout().is_some_and(|at| at <= Instant::now()) {
                self.host.handle_timeout(Instant::now());
            }
        }
    }

    pub(super) fn command(&mut self, command: Command) {
        self.host.handle_command(Instant::now(), command);
    }

    /// Where the host is to give its answers.
    pub(super) fn asker(&self) -> Sender<Answer> {
        self.asker.clone()
    }

    /// Says something as soon as there is room.
    pub(super) fn say(&mut self, report: &Report) {
        let payload = Payload::encode(self.host.encoding(), report);
        self.unsaid.push_back(payload.expect("a report has a form"));
        self.say_on();
    }

    /// One thing that waits for nobody; says whether there was one.
    fn go_on(&mut self) -> io::Result<bool> {
        if let Some(notice) = self.host.poll_event() {
            self.hear(notice)?;
        } else if let Ok(answer) = self.answers.try_recv() {
            self.learn(answer);
        } else if self.held_up.is_some() || !self.unsaid.is_empty() {
            return Ok(false);
        } else if let Some(step) = self.steps.pop_front() {
            self.play(step)?;
        } else if let Some((message, receipt)) = self.messages.pop_front() {
            drop(receipt);
            match message.decode() {
                Ok(Step::Adopt(slot)) => {
                    let kind = self.adopt(slot, &message)?.to_owned();
                    self.say(&Report::Text(kind));
                }
                Ok(step) => self.play(step)?,
                Err(_) => self.say(&Report::Undecodable),
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn hear(&mut self, notice: Notice) -> io::Result<()> {
        match notice {
            Notice::Message(message, receipt) => self.messages.push_back((message, receipt)),
            Notice::Closed(id) => self.close_arrivals(id)?,
            Notice::Cordoned(false) => self.attend_all()?,
            Notice::Draining => self.close_shares()?,
            Notice::Room => self.say_on(),
            _ => {}
        }
        Ok(())
    }

    fn learn(&mut self, answer: Answer) {
        match answer {
            Answer::Listening(slot, name, answer) => {
                self.held_up = None;
                let answer = (*answer).map_err(listen_error);
                let outcome = answer.and_then(|share| self.share(slot, name, share));
                self.tell(outcome);
            }
            Answer::Unwanted(id) => self.command(Command::Close { listener: id }),
            Answer::Written => exit(0),
        }
    }

    /// Says where there is a listener, or why there is none.
    pub(super) fn tell(&mut self, outcome: io::Result<String>) {
        let report = match outcome {
            Ok(name) => Report::Listening(name),
            Err(error) => Report::Failed(format!("{:?}", error.kind())),
        };
        self.say(&report);
    }

    fn look_at(&mut self, token: Token) -> io::Result<()> {
        let (is_over, is_gate) = match self.sockets.at(token) {
            Some(Place::Listener(slot, _) | Place::Arrivals(slot, _)) => {
                let slot = *slot;
                return self.attend(slot);
            }
            Some(Place::Client(client)) => (!client.echo(), false),
            Some(Place::Gate(stream)) => (matches!(stream.read(&mut [0]), Ok(0)), true),
            None => (false, false),
        };
        if is_over {
            self.sockets.close(self.poll.registry(), token)?;
        }
        if is_over && is_gate {
            self.held_up = None;
            self.say(&Report::Done);
        }
        Ok(())
    }

    fn say_on(&mut self) {
        while let Some(payload) = self.unsaid.pop_front() {
            match self.host.outbox().reserve(payload.len()) {
                Ok(permit) => {
                    let message = Outgoing::new(payload, permit);
                    self.command(Command::Send { message, reply: None });
                }
                Err(NoRoom::Full) => return self.unsaid.push_front(payload),
                // A worker that leaves may have nobody to tell any more.
                Err(NoRoom::Closed) => {}
            }
        }
    }

    fn end(mut self) -> ExitCode {
        if let Some(signal) = self.last {
            self.command(Command::Kill { signal });
        }
        match self.at_end {
            AtEnd::Nothing => ExitCode::SUCCESS,
            AtEnd::Exit(code) => exit(code),
            AtEnd::Wait(gate) => wait_at(gate),
            AtEnd::Tell if self.host.facts().is_connected() => ExitCode::from(21),
            AtEnd::Tell => match self.host.outbox().reserve(0) {
                Err(NoRoom::Closed) => ExitCode::from(20),
                _ => ExitCode::from(22),
            },
        }
    }
}

const HOST: Token = Token(0);
