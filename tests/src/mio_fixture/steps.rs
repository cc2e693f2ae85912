//! What each step means in this loop.

use std::env;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::Path;
use std::process::exit;

use cluster_sys::worker::{Command, Share};
use cluster_sys::{Address, ListenOptions, Outgoing, Payload, Reply, Signal, unix_address};
use cluster_tests::script::{Options, Report, Step, Task};

use super::early::{again, descriptors};
use super::sockets::Place;
use super::worker::{Answer, HeldUp, Wish, Worker};

impl Worker {
    pub(super) fn play(&mut self, step: Step) -> io::Result<()> {
        let report = match step {
            Step::Say(text) => Report::Text(text),
            Step::Count(most) => {
                for number in 1..=most {
                    self.say(&Report::Text(number.to_string()));
                }
                return Ok(());
            }
            Step::Repeat(rich) => Report::Rich(rich),
            Step::Environment(name) => Report::Variable(env::var(name).ok()),
            Step::Directory => Report::Text(env::current_dir()?.to_string_lossy().into_owned()),
            Step::Arguments => Report::Text(env::args().skip(1).collect::<Vec<_>>().join(" ")),
            Step::RoleOfChild => {
                let output = again(&Task::Role).output()?;
                Report::Text(String::from_utf8_lossy(&output.stdout).trim().to_owned())
            }
            Step::Descriptors => descriptors(),
            Step::Print(out, error) => {
                println!("{out}");
                eprintln!("{error}");
                Report::Done
            }
            Step::Stay => {
                std::mem::forget(self.host.activity().begin());
                Report::Done
            }
            Step::AtEnd(at_end) => {
                self.at_end = at_end;
                Report::Done
            }
            Step::Data(slot) => {
                Report::Text(String::from_utf8_lossy(&self.listeners[&slot].data).into_owned())
            }
            Step::Serve(slot) => {
                self.serve(slot)?;
                Report::Done
            }
            Step::Close(slot) => {
                self.close(slot)?;
                Report::Done
            }
            Step::Send(slot, to, text) => {
                self.send(slot, to, &text)?;
                Report::Done
            }
            Step::ListenAndDrop(name) => {
                self.listen_and_drop(&name)?;
                Report::Done
            }
            other => return self.begin_or_end(other),
        };
        self.say(&report);
        Ok(())
    }

    /// A step that is answered later, or by an end.
    fn begin_or_end(&mut self, step: Step) -> io::Result<()> {
        match step {
            Step::Listen(slot, name) => self.listen(slot, name, Options::default())?,
            Step::ListenWith(slot, name, options) => self.listen(slot, name, options)?,
            Step::ListenAndLeave(name) => {
                self.listen_and_drop(&name)?;
                self.command(Command::Disconnect);
            }
            Step::IsNonblocking(slot) | Step::Receive(slot) => self.wait_for(slot, Wish::Look)?,
            Step::Give(slot) => self.wait_for(slot, Wish::Give)?,
            Step::Wait(gate) => self.wait(gate)?,
            Step::Disconnect => self.command(Command::Disconnect),
            Step::CloseChannel => self.command(Command::CloseChannel),
            Step::Kill(name) => self.command(Command::Kill { signal: signal(&name) }),
            Step::DisconnectThenKill(name) => {
                self.last = Some(signal(&name));
                self.command(Command::Disconnect);
            }
            Step::Exit(code) => exit(code),
            Step::SayAndExit(text) => self.say_and_exit(text),
            Step::Panic => {
                std::panic::set_hook(Box::new(|_| {}));
                panic!("as told");
            }
            Step::BusyLoop => {
                self.say(&Report::Done);
                loop {
                    std::hint::spin_loop();
                }
            }
            other => unreachable!("{other:?} is for fixtures on a runtime"),
        }
        Ok(())
    }

    fn listen(&mut self, slot: u8, name: String, options: Options) -> io::Result<()> {
        let (address, options) = (address(&name)?, ListenOptions::from(options));
        if options.is_own() {
            let bound = options.bind(address);
            let outcome = bound.and_then(|socket| self.keep(slot, name, socket));
            self.tell(outcome);
            return Ok(());
        }
        let asker = self.asker();
        let reply = Reply::new(move |answer| {
            asker.send(Answer::Listening(slot, name, Box::new(answer))).unwrap_or_default();
        });
        self.held_up = Some(HeldUp::Answer);
        self.command(Command::Listen { spec: options.spec(address), reply });
        Ok(())
    }

    fn listen_and_drop(&mut self, name: &str) -> io::Result<()> {
        let spec = ListenOptions::new().spec(address(name)?);
        let asker = self.asker();
        let reply = Reply::new(move |answer: Result<Share, _>| {
            if let Ok(share) = answer {
                asker.send(Answer::Unwanted(share.listener)).unwrap_or_default();
            }
        });
        self.command(Command::Listen { spec, reply });
        Ok(())
    }

    fn wait(&mut self, gate: SocketAddr) -> io::Result<()> {
        let stream = std::net::TcpStream::connect(gate)?;
        stream.set_nonblocking(true)?;
        let place = Place::Gate(mio::net::TcpStream::from_std(stream));
        self.sockets.add(self.poll.registry(), place)?;
        self.held_up = Some(HeldUp::Gate);
        Ok(())
    }

    fn say_and_exit(&mut self, text: String) {
        let payload = Payload::encode(self.host.encoding(), &Report::Text(text));
        let payload = payload.expect("a report has a form");
        let permit = self.host.outbox().reserve(payload.len()).expect("nothing is queued");
        let asker = self.asker();
        let reply = Some(Reply::new(move |_| asker.send(Answer::Written).unwrap_or_default()));
        self.held_up = Some(HeldUp::Answer);
        self.command(Command::Send { message: Outgoing::new(payload, permit), reply });
    }
}

/// What `name` means, as [`Step::Listen`] names it.
fn address(name: &str) -> io::Result<Address> {
    let number = |text: &str| text.parse().map_err(io::Error::other);
    let first = |name: &str| name.to_socket_addrs()?.next().ok_or(ErrorKind::InvalidInput.into());
    match name.split_once(':') {
        Some(("unix", path)) => unix_address(Path::new(path)),
        Some(("fd", text)) => Ok(Address::Inherited(number(text)?)),
        Some(("udp", name)) => match name.strip_prefix("fd:") {
            Some(text) => Ok(Address::Inherited(number(text)?)),
            None => first(name).map(Address::Udp),
        },
        _ => first(name).map(Address::Tcp),
    }
}

fn signal(name: &str) -> Signal {
    name.parse().expect("tests know signals")
}
