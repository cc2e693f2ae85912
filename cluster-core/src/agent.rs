//! The machine inside a worker.

mod vocabulary;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use crate::address::Address;
use crate::control::{Grant, ToPrimary, ToWorker};
use crate::id::{ListenerId, RequestId};
use crate::limits::LISTENER_DATA_MAX;
use crate::listen::{ListenError, ListenSpec};
use crate::output::Output;
use crate::schedule::Sharing;
use crate::status::Signal;
use crate::token::HandleToken;

pub use vocabulary::{Action, Event, Input};

/// Decides for a worker: what it shares, and how it leaves.
///
/// Its methods are of four families:
///
/// * **commands**, from the application: [`listen`](Self::listen), [`close`](Self::close),
///   [`give_back`](Self::give_back), [`finished`](Self::finished),
///   [`disconnect`](Self::disconnect),
///   [`kill`](Self::kill), [`close_channel`](Self::close_channel);
/// * **facts** from the world: [`handle_input`](Self::handle_input), which cannot fail;
/// * **outputs**: [`poll_output`](Self::poll_output), to be drained until it answers
///   [`Output::Wait`] after each command and each fact;
/// * **getters**, which change nothing.
///
/// How it leaves:
///
/// ```text
///   None ──disconnect, or asked to──▶ Leaving ── idle, and the primary knows ──▶ channel closed
///     │                                                                          (runs on)
///     ├──kill──▶ Killing ── the primary knows ──▶ channel closed, signal raised
///     └──the channel ends by itself──▶ exits at once with status 0
/// ```
#[derive(Debug)]
pub struct Agent {
    channel: Channel,
    intent: Intent,
    requests: BTreeSet<RequestId>,
    requested: u32,
    /// What is shared, and where it really listens.
    listeners: BTreeMap<ListenerId, Address>,
    /// A passage whose grant is to follow.
    passage: Option<(ListenerId, HandleToken)>,
    /// The primary wants to know when connections end.
    counted: bool,
    /// How many have, and the primary does not know.
    ended: u64,
    cordoned: bool,
    outputs: VecDeque<Output<Action, Event>>,
}

/// Commands.
impl Agent {
    /// An agent whose channel is open; the first thing it says is [`ToPrimary::Online`].
    pub fn new() -> Self {
        let mut agent = Self {
            channel: Channel::Open,
            intent: Intent::None,
            requests: BTreeSet::new(),
            requested: 0,
            listeners: BTreeMap::new(),
            passage: None,
            counted: false,
            ended: 0,
            cordoned: false,
            outputs: VecDeque::new(),
        };
        agent.send(ToPrimary::Online);
        agent
    }

    /// Asks for a share in a listener. [`Event::Listening`] or [`Event::ListenFailed`] answers,
    /// at once if the worker is leaving or its channel is closed.
    pub fn listen(&mut self, spec: ListenSpec) -> RequestId {
        self.requested = self.requested.wrapping_add(1);
        let request = RequestId(self.requested);
        match (self.channel, &self.intent) {
            (Channel::Closed, _) => self.fail(request, ListenError::Disconnected),
            (Channel::Open, Intent::Leaving { .. } | Intent::Killing { .. }) => {
                self.fail(request, ListenError::Leaving);
            }
            // What does not fit is not even asked for.
            (Channel::Open, Intent::None) if spec.data.len() > LISTENER_DATA_MAX => {
                self.fail(request, ListenError::TooMuchData);
            }
            (Channel::Open, Intent::None) => {
                self.requests.insert(request);
                self.send(ToPrimary::Listen { request, spec });
            }
        }
        request
    }

    /// Shares a listener no longer. Connections from it that the application has not taken go
    /// to other workers.
    pub fn close(&mut self, listener: ListenerId) {
        if self.listeners.remove(&listener).is_some() {
            self.send(ToPrimary::Close { listener });
        }
    }

    /// Gives back a connection that was taken out of a passage, or accepted from a socket that
    /// the primary lent, and that the application never saw: it goes to another worker. One that
    /// was taken out of a passage is to be counted as [finished](Self::finished) before.
    pub fn give_back(
        &mut self,
        listener: ListenerId,
        connection: HandleToken,
        peer: Option<SocketAddr>,
    ) {
        match self.channel {
            Channel::Open => self.act(Action::Send {
                message: ToPrimary::Returned { listener, peer },
                handle: Some(connection),
            }),
            Channel::Closed => self.act(Action::Close { connection }),
        }
    }

    /// So many connections that were taken out of passages have ended. Says so, if the primary
    /// wants to know, or as soon as it does.
    pub fn finished(&mut self, count: u64) {
        self.ended = self.ended.saturating_add(count);
        self.report();
    }

    /// Leaves gracefully: closes all listeners, waits until the application is idle, and then
    /// closes the channel. Again, or while leaving for another reason, it changes nothing.
    pub fn disconnect(&mut self) {
        if let (Channel::Open, Intent::None) = (self.channel, &self.intent) {
            self.send(ToPrimary::Leaving);
            self.leave(false);
        }
    }

    /// Ends the process by a signal, without waiting for anything but that the primary knows
    /// that this is no accident.
    pub fn kill(&mut self, signal: Signal) {
        let noted = match (self.channel, &self.intent) {
            (Channel::Closed, Intent::Leaving { .. }) => {
                self.act(Action::Raise { signal });
                true
            }
            // It is at its end already.
            (Channel::Closed, Intent::None) | (_, Intent::Killing { .. }) => return,
            (Channel::Open, Intent::None) => {
                self.send(ToPrimary::Leaving);
                self.tell(Event::Draining);
                self.fail_requests(&ListenError::Leaving);
                false
            }
            (Channel::Open, Intent::Leaving { noted, .. }) => *noted,
        };
        self.intent = Intent::Killing { signal, noted };
        self.go_if_ready();
    }

    /// Closes the channel at once, as an accident would; the process exits with status 0.
    /// (Node: `process.disconnect()` in a worker.)
    pub fn close_channel(&mut self) {
        if self.channel == Channel::Open {
            self.act(Action::CloseChannel);
            self.channel_closed();
        }
    }
}

/// Facts and outputs.
impl Agent {
    /// Takes a fact in. Answers to nothing, and facts that are known already, change nothing.
    pub fn handle_input(&mut self, input: Input) {
        match (self.channel, input) {
            (Channel::Open, Input::Received { message, handle }) => self.received(message, handle),
            (Channel::Open, Input::ChannelClosed) => self.channel_closed(),
            (Channel::Open | Channel::Closed, Input::Idle) => self.idle(),
            (Channel::Closed, Input::Received { handle, .. }) => self.close_handle(handle),
            (Channel::Closed, Input::ChannelClosed) => {}
        }
    }

    /// The next output. Drain it until [`Output::Wait`]; polled again, it waits again. An agent
    /// has no deadlines.
    pub fn poll_output(&mut self) -> Output<Action, Event> {
        self.outputs.pop_front().unwrap_or(Output::Wait(None))
    }

    fn received(&mut self, message: ToWorker, handle: Option<HandleToken>) {
        match (message, handle) {
            (ToWorker::Passage { listener }, passage) => {
                self.close_passage();
                self.passage = passage.map(|passage| (listener, passage));
            }
            (ToWorker::Listen { request, result }, handle) => {
                self.listen_answered(request, result, handle);
            }
            (ToWorker::Disconnect, handle) => {
                self.close_handle(handle);
                self.asked_to_leave();
            }
            (ToWorker::Cordon, handle) => {
                self.close_handle(handle);
                self.cordon(true);
            }
            (ToWorker::Uncordon, handle) => {
                self.close_handle(handle);
                self.cordon(false);
            }
            (ToWorker::Probe, handle) => {
                self.close_handle(handle);
                self.send(ToPrimary::Awake);
            }
            (ToWorker::Report { ends }, handle) => {
                self.close_handle(handle);
                self.counted = ends;
                self.report();
                self.send(ToPrimary::Reported);
            }
            (ToWorker::LeaveNoted, handle) => {
                self.close_handle(handle);
                self.noted();
            }
        }
    }

    fn listen_answered(
        &mut self,
        request: RequestId,
        result: Result<Grant, ListenError>,
        handle: Option<HandleToken>,
    ) {
        match result {
            Ok(grant) if self.requests.remove(&request) => self.granted(request, grant, handle),
            // It comes too late: others are to have what is on its way here.
            Ok(grant) => {
                self.close_passage();
                self.close_handle(handle);
                self.send(ToPrimary::Close { listener: grant.listener });
            }
            Err(error) => {
                self.close_handle(handle);
                if self.requests.remove(&request) {
                    self.fail(request, error);
                }
            }
        }
    }

    fn granted(&mut self, request: RequestId, grant: Grant, handle: Option<HandleToken>) {
        let Grant { listener, address, sharing, counted, data } = grant;
        self.counted = counted;
        self.report();
        let passage = self.passage.take_if(|(of, _)| *of == listener);
        let passage = passage.map(|(_, passage)| passage);
        self.close_passage();
        let handed_over = !matches!(address, Address::Udp(_));
        let accepts = matches!(sharing, Sharing::Kernel | Sharing::Sharded);
        if handed_over && passage.is_none() || accepts && handle.is_none() {
            // For want of descriptors in this process.
            self.close_handle(passage);
            self.close_handle(handle);
            self.send(ToPrimary::Close { listener });
            return self.fail(request, ListenError::Lost);
        }
        match passage {
            Some(passage) if handed_over => self.act(Action::AdoptPassage { listener, passage }),
            unexpected => self.close_handle(unexpected),
        }
        match handle {
            Some(socket) if accepts => self.act(Action::Adopt { listener, socket }),
            unexpected => self.close_handle(unexpected),
        }
        self.listeners.entry(listener).or_insert_with(|| address.clone());
        self.send(ToPrimary::Listening { listener });
        self.tell(Event::Listening { request, listener, address, data });
    }

    /// Tells what has ended, if the primary wants to know.
    fn report(&mut self) {
        if self.counted && self.ended > 0 {
            let count = std::mem::take(&mut self.ended);
            self.send(ToPrimary::Finished { count });
        }
    }

    fn cordon(&mut self, cordoned: bool) {
        if std::mem::replace(&mut self.cordoned, cordoned) != cordoned {
            self.tell(Event::Cordoned { cordoned });
        }
    }

    fn asked_to_leave(&mut self) {
        match self.intent {
            Intent::None => self.leave(true),
            Intent::Leaving { .. } | Intent::Killing { .. } => self.noted(),
        }
    }

    fn leave(&mut self, noted: bool) {
        self.intent = Intent::Leaving { noted, idle: false };
        self.tell(Event::Draining);
        self.close_listeners();
        self.fail_requests(&ListenError::Leaving);
        self.act(Action::WatchIdle);
    }

    /// The primary knows: whatever happens now, it will not take it for an accident.
    fn noted(&mut self) {
        match &mut self.intent {
            Intent::None => return,
            Intent::Leaving { noted, .. } | Intent::Killing { noted, .. } => *noted = true,
        }
        self.go_if_ready();
    }

    fn idle(&mut self) {
        if let Intent::Leaving { idle, .. } = &mut self.intent {
            *idle = true;
            self.go_if_ready();
        }
    }

    fn go_if_ready(&mut self) {
        let ready = match self.intent {
            Intent::None => false,
            Intent::Leaving { noted, idle } => noted && idle,
            Intent::Killing { noted, .. } => noted,
        };
        if ready && self.channel == Channel::Open {
            self.act(Action::CloseChannel);
            self.channel_closed();
        }
    }

    fn channel_closed(&mut self) {
        self.channel = Channel::Closed;
        self.close_passage();
        self.close_listeners();
        self.fail_requests(&ListenError::Disconnected);
        self.tell(Event::Disconnect);
        match self.intent {
            Intent::None => self.act(Action::Exit { code: 0 }),
            Intent::Leaving { .. } => {}
            Intent::Killing { signal, .. } => self.act(Action::Raise { signal }),
        }
    }

    fn close_listeners(&mut self) {
        let all: Vec<_> = self.listeners.keys().copied().collect();
        for listener in all {
            self.close(listener);
            self.tell(Event::Closed { listener });
        }
    }

    /// Closes a passage whose grant does not follow, or comes too late.
    fn close_passage(&mut self) {
        let passage = self.passage.take().map(|(_, passage)| passage);
        self.close_handle(passage);
    }

    fn close_handle(&mut self, handle: Option<HandleToken>) {
        if let Some(connection) = handle {
            self.act(Action::Close { connection });
        }
    }

    /// No request is left open; an answer that still comes answers nothing.
    fn fail_requests(&mut self, error: &ListenError) {
        while let Some(request) = self.requests.pop_first() {
            self.fail(request, error.clone());
        }
    }

    fn fail(&mut self, request: RequestId, error: ListenError) {
        self.tell(Event::ListenFailed { request, error });
    }

    /// Says something to the primary, if there still is a channel.
    fn send(&mut self, message: ToPrimary) {
        if self.channel == Channel::Open {
            self.act(Action::Send { message, handle: None });
        }
    }

    fn act(&mut self, action: Action) {
        self.outputs.push_back(Output::Action(action));
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }
}

/// Getters.
impl Agent {
    /// Whether the channel to the primary is open.
    pub fn is_connected(&self) -> bool {
        self.channel == Channel::Open
    }

    /// Whether the primary wants to know when connections end.
    pub fn counts(&self) -> bool {
        self.counted
    }

    /// Whether the worker is to accept no connections for now.
    pub fn is_cordoned(&self) -> bool {
        self.cordoned
    }

    /// Whether the worker has begun to leave.
    pub fn is_leaving(&self) -> bool {
        !matches!(self.intent, Intent::None)
    }

    /// Whether the worker leaves because it was asked to, or decided to (Node:
    /// `worker.exitedAfterDisconnect`, which is `undefined` until then).
    pub fn exited_after_disconnect(&self) -> Option<bool> {
        match (&self.intent, self.channel) {
            (Intent::Leaving { .. } | Intent::Killing { .. }, _) => Some(true),
            (Intent::None, Channel::Closed) => Some(false),
            (Intent::None, Channel::Open) => None,
        }
    }

    /// Where a listener really listens.
    pub fn address(&self, listener: ListenerId) -> Option<&Address> {
        self.listeners.get(&listener)
    }
}

impl Default for Agent {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Channel {
    Open,
    Closed,
}

#[derive(Debug)]
enum Intent {
    None,
    Leaving { noted: bool, idle: bool },
    Killing { signal: Signal, noted: bool },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_data_than_a_listener_may_carry_is_not_even_asked_for() {
        let mut agent = Agent::new();
        let unix = Address::Unix(crate::UnixName(b"/s".to_vec()));
        let with = |len| ListenSpec { data: vec![0; len], ..ListenSpec::new(unix.clone()) };
        agent.listen(with(LISTENER_DATA_MAX));
        let refused = agent.listen(with(LISTENER_DATA_MAX + 1));
        let outputs: Vec<_> = std::iter::from_fn(|| match agent.poll_output() {
            Output::Wait(_) => None,
            other => Some(other),
        })
        .collect();
        assert_eq!(outputs.len(), 3, "online, the first request, and nothing else but this");
        let failed = Event::ListenFailed { request: refused, error: ListenError::TooMuchData };
        assert_eq!(outputs[2], Output::Event(failed));
    }
}
