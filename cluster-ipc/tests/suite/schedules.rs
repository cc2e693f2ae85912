//! Two ends, two wires that behave like a unix stream socket, and any order of events.

use std::collections::VecDeque;

use cluster_core::ToWorker;
use cluster_ipc::limits::{HANDLES_PER_CHUNK, MESSAGE_OVERHEAD, WINDOW};
use cluster_ipc::{Charge, Decoder, Encoder, Encoding, Frame, Payload};
use proptest::prelude::*;

use crate::support::{Handle, Pool, Seen, encoder, names, passage};

/// One direction of a socketpair. A read merges what was written without handles with what
/// follows it, and ends after the first segment with handles.
#[derive(Default)]
struct Wire(VecDeque<Segment>);

struct Segment {
    bytes: Vec<u8>,
    read: usize,
    handles: Vec<Handle>,
}

impl Wire {
    fn write(&mut self, bytes: &[u8], handles: Vec<Handle>) {
        assert!(!bytes.is_empty() && handles.len() <= HANDLES_PER_CHUNK);
        self.0.push_back(Segment { bytes: bytes.to_vec(), read: 0, handles });
    }

    fn read(&mut self, into: &mut [u8]) -> (usize, Vec<Handle>) {
        let (mut len, mut handles) = (0, Vec::new());
        while let Some(segment) = self.0.front_mut()
            && len < into.len()
            && handles.is_empty()
        {
            handles.append(&mut segment.handles);
            let left = &segment.bytes[segment.read..];
            let count = left.len().min(into.len() - len);
            into[len..len + count].copy_from_slice(&left[..count]);
            segment.read += count;
            len += count;
            if segment.read == segment.bytes.len() {
                self.0.pop_front();
            }
        }
        (len, handles)
    }
}

/// One process: its codec, its application's inbox, and what it should still receive.
struct End {
    encoder: Encoder<Handle>,
    decoder: Decoder<ToWorker, Handle>,
    inbox: VecDeque<(Seen, Charge)>,
    control_due: VecDeque<Seen>,
    user_due: VecDeque<Seen>,
    users_sent: u64,
}

impl End {
    fn new() -> Self {
        Self {
            encoder: encoder(),
            decoder: Decoder::new(),
            inbox: VecDeque::new(),
            control_due: VecDeque::from([Seen::Hello("test".to_owned())]),
            user_due: VecDeque::new(),
            users_sent: 0,
        }
    }

    fn write(&mut self, wire: &mut Wire, most: usize) -> bool {
        let idle = self.encoder.is_idle();
        let Some(chunk) = self.encoder.chunk() else {
            assert!(idle);
            return false;
        };
        assert!(!idle);
        let len = chunk.bytes.len().min(most);
        wire.write(&chunk.bytes[..len], chunk.handles.iter().map(Handle::duplicate).collect());
        let sent = names(chunk.handles);
        assert_eq!(names(&self.encoder.advance(len).collect::<Vec<_>>()), sent);
        true
    }

    fn read(&mut self, wire: &mut Wire, most: usize) -> bool {
        let spare = self.decoder.spare();
        assert!(spare.len() >= 64 * 1024);
        let most = most.min(spare.len());
        let (len, handles) = wire.read(&mut spare[..most]);
        self.decoder.filled(len, handles);
        while let Some(frame) = self.decoder.pop().expect("what an encoder sends is valid") {
            self.receive(frame);
        }
        self.announce();
        let waiting: usize = self.inbox.iter().map(|(seen, _)| size(seen)).sum();
        let largest = self.user_due.iter().map(size).max().unwrap_or(0);
        assert!(waiting <= WINDOW as usize + largest, "{waiting}");
        len > 0
    }

    fn receive(&mut self, frame: Frame<ToWorker, Handle>) {
        let seen = match frame {
            Frame::User { payload, handles, charge, lost: _ } => {
                let handles = names(&handles);
                let seen = Seen::User(payload.encoding(), payload.into_bytes(), handles);
                self.inbox.push_back((seen, charge));
                return;
            }
            Frame::Credit(bytes) => return self.encoder.grant(bytes),
            Frame::Hello(hello) => Seen::Hello(hello.build().to_owned()),
            Frame::Control { message, handles } => Seen::Control(message, names(&handles)),
        };
        assert_eq!(Some(seen), self.control_due.pop_front());
    }

    fn consume(&mut self, messages: usize) -> bool {
        let mut sum = Charge::default();
        let messages = messages.min(self.inbox.len());
        for (seen, charge) in self.inbox.drain(..messages) {
            assert!(Some(seen) == self.user_due.pop_front(), "user messages in order");
            sum += charge;
        }
        self.decoder.consumed(sum);
        self.announce();
        messages > 0
    }

    fn announce(&mut self) {
        if let Some(credit) = self.decoder.credit_due() {
            self.encoder.push_credit(credit);
        }
    }
}

fn size(seen: &Seen) -> usize {
    match seen {
        Seen::User(_, bytes, _) => bytes.len() + MESSAGE_OVERHEAD,
        Seen::Hello(_) | Seen::Control(..) | Seen::Credit(_) => 0,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Control { handle: bool },
    User { len: usize, json: bool, handles: u32 },
    Write(usize),
    Read(usize),
    Consume(usize),
}

impl Step {
    fn any() -> impl Strategy<Value = (bool, Self)> {
        let len = prop_oneof![5 => 0..300_usize, 1 => 0..600 * 1024_usize];
        let bytes = || prop_oneof![1..100_usize, 1..50_000_usize, Just(1_000_000)];
        let handles = prop_oneof![5 => Just(0), 2 => 1..4_u32, 1 => Just(64)];
        let step = prop_oneof![
            3 => any::<bool>().prop_map(|handle| Self::Control { handle }),
            3 => (len, any::<bool>(), handles)
                .prop_map(|(len, json, handles)| Self::User { len, json, handles }),
            6 => bytes().prop_map(Self::Write),
            6 => bytes().prop_map(Self::Read),
            1 => (1..4_usize).prop_map(Self::Consume),
        ];
        // Most of the traffic goes in one direction.
        (prop::bool::weighted(0.7), step)
    }
}

struct World {
    pool: Pool,
    /// Wire `n` is the one that end `n` writes.
    ends: [End; 2],
    wires: [Wire; 2],
    names: u32,
}

impl World {
    fn new() -> Self {
        Self {
            pool: Pool::default(),
            ends: [End::new(), End::new()],
            wires: [Wire::default(), Wire::default()],
            names: 0,
        }
    }

    fn step(&mut self, here: usize, step: Step) -> bool {
        let there = 1 - here;
        match step {
            Step::Control { handle } => self.push_control(here, handle),
            Step::User { len, json, handles } => self.push_user(here, len, json, handles),
            Step::Write(most) => return self.ends[here].write(&mut self.wires[here], most),
            Step::Read(most) => return self.ends[here].read(&mut self.wires[there], most),
            Step::Consume(messages) => return self.ends[here].consume(messages),
        }
        true
    }

    fn push_control(&mut self, here: usize, handle: bool) {
        let names = self.fresh(handle.into());
        let handles = self.pool.handles(names.iter().copied());
        let message = names.first().map_or(ToWorker::Disconnect, |name| passage(*name));
        self.ends[here].encoder.push_control(&message, handles).unwrap();
        self.ends[1 - here].control_due.push_back(Seen::Control(message, names));
    }

    fn push_user(&mut self, here: usize, len: usize, json: bool, handles: u32) {
        let names = self.fresh(handles);
        let handles = self.pool.handles(names.iter().copied());
        let encoding = if json { Encoding::Json } else { Encoding::Postcard };
        let block: Vec<u8> = (0..251_u8).map(|i| i.wrapping_add(self.names as u8)).collect();
        let bytes: Vec<u8> = block.repeat(len / block.len() + 1)[..len].to_vec();
        let payload = Payload::from_bytes(encoding, bytes.clone());
        self.ends[here].encoder.push_user(payload, handles).unwrap();
        self.ends[here].users_sent += 1;
        self.ends[1 - here].user_due.push_back(Seen::User(encoding, bytes, names));
    }

    fn fresh(&mut self, count: u32) -> Vec<u32> {
        self.names += count;
        (self.names - count..self.names).collect()
    }

    /// Everything arrives, and nothing else.
    fn finish(mut self) {
        let all = usize::MAX;
        let moves = [Step::Write(all), Step::Read(all), Step::Consume(1)];
        loop {
            let moved = moves.iter().flat_map(|step| [(0, step), (1, step)]);
            // One of each kind at a time, so that windows fill up before they are emptied.
            if moved.filter(|(end, step)| self.step(*end, (*step).clone())).count() == 0 {
                break;
            }
        }
        for end in &self.ends {
            assert!(end.control_due.is_empty() && end.user_due.is_empty(), "stalled");
            assert!(end.encoder.is_idle());
            assert_eq!(end.encoder.user_written(), end.users_sent);
        }
        assert_eq!(self.pool.live(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn everything_arrives_in_order(schedule in prop::collection::vec(Step::any(), 0..80)) {
        let mut world = World::new();
        for (there, step) in schedule {
            world.step(usize::from(!there), step);
        }
        world.finish();
    }

    /// It ends in the middle of anything: all handles are dropped.
    #[test]
    fn nothing_is_left_over(schedule in prop::collection::vec(Step::any(), 0..80)) {
        let mut world = World::new();
        for (there, step) in schedule {
            world.step(usize::from(!there), step);
        }
        let World { pool, ends, wires, .. } = world;
        drop((ends, wires));
        prop_assert_eq!(pool.live(), 0);
    }
}

/// A message of several windows goes through although the application consumes nothing before it.
#[test]
fn a_message_larger_than_the_window_goes_through() {
    let mut world = World::new();
    world.push_user(0, 5 * WINDOW as usize, false, 64);
    while world.step(0, Step::Write(usize::MAX))
        | world.step(1, Step::Read(usize::MAX))
        | world.step(1, Step::Write(usize::MAX))
        | world.step(0, Step::Read(usize::MAX))
    {}
    assert_eq!(world.ends[1].inbox.len(), 1);
    world.finish();
}

/// One message waits: the next one fills the window, and goes on when that is consumed.
#[test]
fn a_message_behind_another_waits() {
    let mut world = World::new();
    world.push_user(0, 10, false, 0);
    world.push_user(0, 5 * WINDOW as usize, false, 0);
    let run = |world: &mut World| {
        while world.step(0, Step::Write(usize::MAX))
            | world.step(1, Step::Read(usize::MAX))
            | world.step(1, Step::Write(usize::MAX))
            | world.step(0, Step::Read(usize::MAX))
        {}
    };
    run(&mut world);
    assert_eq!(world.ends[1].inbox.len(), 1);
    assert_eq!(world.ends[0].encoder.user_written(), 1);
    assert!(world.step(1, Step::Consume(1)));
    run(&mut world);
    assert_eq!(world.ends[0].encoder.user_written(), 2);
    world.finish();
}
