//! Workers that have few descriptors left: no connection is lost by that.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};

use cluster_sys::limits::DESCRIPTORS_SPARE;
use cluster_sys::worker::Notice;
use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

use crate::driver::{Driver, PATIENCE, connect};
use crate::roles::program;
use crate::site::Site;
use crate::support::{
    alone, assert_no_children, descriptors, limit_descriptors, limit_with_room_for, wait_readable,
};

#[test]
fn what_a_worker_has_no_descriptor_for_stays_where_it_is() {
    alone("receiving::what_a_worker_has_no_descriptor_for_stays_where_it_is", || {
        let before = descriptors();
        for is_killed in [false, true] {
            let mut driver = Driver::new(program());
            let (poor, address) = driver.fork_listening("poor");
            let mut client = connect(address);
            assert_eq!(driver.message::<String>(), "poor");
            assert!(!Driver::is_answered(&client));
            driver.fork_listening("serve");
            if is_killed {
                driver.kill(&poor);
            } else {
                driver.send(&poor, "rich");
            }
            let server = if is_killed { 2 } else { 1 };
            assert_eq!(driver.served(&mut client), Some(server));
            driver.leave(if is_killed { &[2] } else { &[1, 2] });
            drop((driver, client));
            assert_eq!(descriptors(), before);
            assert_no_children();
        }
    });
}

/// Has no room for a connection until it is told so.
pub(crate) fn poor() {
    let mut site = Site::new();
    site.listen();
    wait_readable(site.arrivals());
    limit_descriptors(limit_with_room_for(0));
    for _ in 0..3 {
        assert_eq!(refusal(&site), Errno::EMFILE);
    }
    site.send("poor");
    site.until(|_, notice| matches!(notice, Notice::Message(..)).then_some(()));
    limit_descriptors(1024);
    site.serve_on();
}

/// All that there is room for is taken, and the rest when there is room again.
#[test]
fn a_worker_comes_to_its_last_descriptor_and_loses_nothing() {
    let mut driver = Driver::new(program());
    let (_, address) = driver.fork_listening("hold many");
    let mut clients: Vec<_> = (0..2 * ROOM).map(|_| connect(address)).collect();
    assert_eq!(driver.message::<usize>(), ROOM);
    for client in &mut clients {
        assert_eq!(driver.served(client), Some(1));
    }
    driver.leave(&[1]);
}

/// Holds as many connections as it can, and then serves all.
pub(crate) fn hold_many() {
    let mut site = Site::new();
    limit_descriptors(limit_with_room_for(1 + ROOM));
    site.listen();
    let mut held = Vec::new();
    loop {
        match site.arrivals().receive() {
            Ok(connection) => held.push(connection),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => site.turn(PATIENCE),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(Errno::EMFILE as i32));
                break;
            }
        }
    }
    site.send(&held.len());
    held.into_iter().for_each(|it| site.serve(it));
    site.serve_on();
}

/// Others may use up descriptors between two connections, as long as they leave one; and nothing
/// is lost unless they use up more than [`DESCRIPTORS_SPARE`].
#[test]
fn descriptors_that_others_use_up_cost_a_connection_only_beyond_the_spare() {
    for (used, second) in [(ENOUGH_FOR_ONE - 2, Some(1)), (ENOUGH_FOR_ONE - 1, None)] {
        let mut driver = Driver::new(program());
        let (_, address) = driver.fork_listening(&format!("squeezed:{used}"));
        let mut clients = [(); 3].map(|()| connect(address));
        assert_eq!(driver.message::<String>(), "squeezed");
        let served = clients.each_mut().map(|client| driver.served(client));
        assert_eq!(served, [Some(1), second, Some(1)]);
        driver.leave(&[1]);
    }
}

/// Takes one connection while as many descriptors as possible are used up that it may believe
/// that there are enough for one more without looking, and the next when so many more are.
pub(crate) fn squeezed(used: &str) {
    let used: u64 = used.parse().unwrap();
    let mut site = Site::new();
    limit_descriptors(limit_with_room_for(2 * DESCRIPTORS_SPARE as usize));
    site.listen();
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let limit = i32::try_from(limit).unwrap();
    // Whoever started the tests may have left some open; they count, too.
    let beyond = descriptors().into_keys().filter(|number| *number >= limit).count();
    let last_of_many = limit - i32::try_from(ENOUGH_FOR_ONE as usize + beyond).unwrap();
    let null: OwnedFd = File::open("/dev/null").unwrap().into();
    let copy = || null.try_clone().unwrap();
    let below: Vec<_> =
        std::iter::repeat_with(copy).take_while(|it| it.as_raw_fd() < last_of_many).collect();

    wait_readable(site.arrivals());
    let first = site.arrivals().receive().unwrap();
    assert_eq!(first.0.as_raw_fd(), last_of_many);
    let others: Vec<_> = (0..used).map(|_| copy()).collect();
    wait_readable(site.arrivals());
    let mut held = vec![first];
    if used < ENOUGH_FOR_ONE - 1 {
        held.push(site.arrivals().receive().unwrap());
        wait_readable(site.arrivals());
    }
    assert_eq!(refusal(&site), Errno::EMFILE);
    drop((below, others));
    held.into_iter().for_each(|it| site.serve(it));
    site.send("squeezed");
    site.serve_on();
}

fn refusal(site: &Site) -> Errno {
    Errno::from_raw(site.arrivals().receive().unwrap_err().raw_os_error().unwrap())
}

/// So many must be left that one more is taken without looking.
const ENOUGH_FOR_ONE: u64 = DESCRIPTORS_SPARE + 8;

/// Some of it is spare, and some is not.
const ROOM: usize = DESCRIPTORS_SPARE as usize + 16;
