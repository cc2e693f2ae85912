//! Slow starts: a worker that has just begun to listen gets less than its share.

use std::time::Duration;

use cluster_core::Schedule;
use cluster_core::limits::SLOW_START_LEAST;

use crate::burdens::{config, sharing_with};
use crate::handing::connect;
use crate::world::tcp;

const SLOW: Duration = Duration::from_secs(10);

/// A worker that has just begun to listen lets a part of its turns pass, and fewer as time does.
#[test]
fn of_turns() {
    let config = config(Schedule::RoundRobin).with_slow_start(SLOW);
    let (mut world, workers) = sharing_with(config, 1);
    world.pass(SLOW);
    let fresh = world.fork_listening(&[tcp(80)]);
    let mut parts = Vec::new();
    for seconds in [0, 5, 5] {
        world.pass(Duration::from_secs(seconds));
        let before = world.kernel.connections.len();
        for _ in 0..1000 {
            connect(&mut world, 1);
            world.drive();
        }
        let all = world.kernel.connections[before..].iter();
        let own = all.filter(|it| it.reader == Some(fresh)).count();
        // Of the old one's share, in hundredths.
        parts.push(own * 100 / (1000 - own));
    }
    let least = SLOW_START_LEAST as usize;
    assert!((least - 3..=least + 3).contains(&parts[0]), "{parts:?}");
    assert!((40..=60).contains(&parts[1]), "{parts:?}");
    assert_eq!(parts[2], 100, "{parts:?}");
    assert!(workers[0] < fresh);
}

/// Of connections that stay open, a fresh worker has its part of what others have: the least at
/// first, more as time passes, and then as many as they.
#[test]
fn of_loads() {
    for (schedule, far) in [(Schedule::LeastLoaded, 1), (Schedule::PowerOfTwo, 6)] {
        let (mut world, mut workers) = sharing_with(config(schedule).with_slow_start(SLOW), 3);
        world.pass(SLOW);
        for worker in &workers {
            world.process(*worker).application.busy = true;
        }
        for _ in 0..3 * 100 {
            connect(&mut world, 1);
            world.drive();
        }
        let fresh = world.fork_listening(&[tcp(80)]);
        world.process(fresh).application.busy = true;
        for (seconds, share, clients) in [(0, SLOW_START_LEAST, 200), (5, 50, 200), (5, 100, 600)] {
            world.pass(Duration::from_secs(seconds));
            for _ in 0..clients {
                connect(&mut world, 1);
                world.drive();
            }
            let loads = workers.iter().map(|it| world.primary.load(*it));
            let most = loads.map(|(untaken, open)| untaken + open).max().expect("three");
            let (part, (_, open)) = (most * share as usize / 100, world.primary.load(fresh));
            assert!(part.abs_diff(open) <= far, "{schedule:?}: {open} of {most} for {share}");
        }
        workers.push(fresh);
        let loads: usize = workers.iter().map(|it| world.primary.load(*it).1).sum();
        assert_eq!(loads, 3 * 100 + 200 + 200 + 600, "all are with somebody");
    }
}
