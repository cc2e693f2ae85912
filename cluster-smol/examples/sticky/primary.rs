//! The primary: keeps all seats taken.

use std::collections::HashMap;
use std::pin::pin;

use async_signal::{Signal as Asked, Signals};
use cluster_smol::{Builder, Closed, Cluster, Event, Events, WorkerId};
use smol::future::or;
use smol::net::TcpListener;
use smol::stream::StreamExt;

use crate::Failure;
use crate::dispatch::Dispatch;

/// Keeps the workers running, and hands them connections.
pub(crate) async fn supervise(builder: Builder, address: &str) -> Result<(), Failure> {
    let mut terminate = Signals::new([Asked::Term])?;
    let listener = TcpListener::bind(address).await?;
    println!("accepting {}", listener.local_addr()?);
    let cluster = builder.start()?;
    let mut events = cluster.events();
    let mut staff = Staff::default();
    for seat in 0..SEATS {
        staff.starting.insert(cluster.fork().await?.id(), seat);
    }
    let dispatch = Dispatch::new(SEATS);
    let accepting = smol::spawn(dispatch.clone().accept(listener));
    while let Some(event) = next(&mut events, &mut terminate).await {
        take_note(&cluster, &dispatch, &mut staff, &event).await?;
    }
    accepting.cancel().await;
    end(&cluster, &dispatch, &mut events).await
}

/// The next event; `None` when the program is asked to end.
async fn next(events: &mut Events, asked: &mut Signals) -> Option<Event> {
    let asked = async {
        asked.next().await;
        None
    };
    or(asked, events.next()).await
}

/// Does what is to be done after an event.
async fn take_note(
    cluster: &Cluster,
    dispatch: &Dispatch,
    staff: &mut Staff,
    event: &Event,
) -> Result<(), Failure> {
    match event {
        Event::Message { worker, message } => {
            dispatch.hear(*worker, message.decode()?);
            return Ok(());
        }
        Event::Online { worker: id } => {
            if let Some(seat) = staff.starting.remove(id) {
                staff.working.insert(*id, seat);
                if let Some(worker) = cluster.worker(*id).await? {
                    dispatch.seat(seat, worker);
                }
            }
        }
        Event::Draining { worker } => dispatch.vacate(*worker),
        // When the channel has ended, all that the worker had to say is heard.
        Event::Disconnect { worker, .. } => {
            dispatch.vacate(*worker);
            dispatch.recall(*worker);
        }
        // One that never worked is not replaced: the next one would not work either.
        Event::Exit { worker, .. } => match staff.working.remove(worker) {
            Some(seat) => drop(staff.starting.insert(cluster.fork().await?.id(), seat)),
            None => drop(staff.starting.remove(worker)),
        },
        _ => {}
    }
    println!("{event}");
    Ok(())
}

/// Lets all workers finish, and prints what is still to come.
async fn end(cluster: &Cluster, dispatch: &Dispatch, events: &mut Events) -> Result<(), Failure> {
    let mut left = pin!(cluster.disconnect());
    loop {
        // What has happened is told before the end of it all is noticed.
        let event = async { First::Event(events.next().await) };
        let left = async { First::Left(left.as_mut().await) };
        match or(event, left).await {
            First::Event(Some(Event::Message { worker, message })) => {
                dispatch.hear(worker, message.decode()?);
            }
            First::Event(Some(event)) => println!("{event}"),
            First::Event(None) => return Ok(()),
            First::Left(result) => return Ok(result?),
        }
    }
}

/// What came first.
enum First {
    Event(Option<Event>),
    Left(Result<(), Closed>),
}

/// Whose each seat is.
#[derive(Default)]
struct Staff {
    starting: HashMap<WorkerId, usize>,
    working: HashMap<WorkerId, usize>,
}

/// How many workers there are. If this changes, clients move.
const SEATS: usize = 4;
