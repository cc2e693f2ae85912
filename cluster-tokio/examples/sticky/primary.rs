//! The primary: keeps all seats taken.

use std::collections::HashMap;
use std::pin::pin;

use cluster_tokio::{Builder, Cluster, Event, Events, WorkerId};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::Failure;
use crate::dispatch::Dispatch;

/// Keeps the workers running, and hands them connections.
pub(crate) async fn supervise(builder: Builder, address: &str) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = TcpListener::bind(address).await?;
    println!("accepting {}", listener.local_addr()?);
    let cluster = builder.start()?;
    let mut events = cluster.events();
    let mut staff = Staff::default();
    for seat in 0..SEATS {
        staff.starting.insert(cluster.fork().await?.id(), seat);
    }
    let dispatch = Dispatch::new(SEATS);
    let accepting = tokio::spawn(dispatch.clone().accept(listener));
    loop {
        let event = tokio::select! {
            _ = terminate.recv() => break,
            Some(event) = events.next() => event,
        };
        take_note(&cluster, &dispatch, &mut staff, &event).await?;
    }
    accepting.abort();
    end(&cluster, &dispatch, &mut events).await
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
        tokio::select! {
            // What has happened is told before the end of it all is noticed.
            biased;
            Some(event) = events.next() => match event {
                Event::Message { worker, message } => dispatch.hear(worker, message.decode()?),
                event => println!("{event}"),
            },
            result = &mut left => return Ok(result?),
        }
    }
}

/// Whose each seat is.
#[derive(Default)]
struct Staff {
    starting: HashMap<WorkerId, usize>,
    working: HashMap<WorkerId, usize>,
}

/// How many workers there are. If this changes, clients move.
const SEATS: usize = 4;
