//! A whole host: one thread that does everything, as Envoy's workers each do in wasm; or
//! one that fetches and some that serve, woken by its messages.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use oss_origin_auth_core::fetch::answer::Answer;
use oss_origin_auth_core::oss::time::rfc3339_utc;

use super::node::{Node, Process};

pub const START: u64 = 1_764_946_083_000;

/// What every host can do. A test says what happens, and in which order.
pub trait World: Sized {
    fn new(configuration: &str) -> Self;

    fn process(&self) -> &Process;

    /// How many threads serve requests.
    fn servers(&self) -> usize;

    /// Does something in a thread that serves.
    fn on<R: Send + 'static>(
        &mut self,
        server: usize,
        act: impl FnOnce(&mut Node) -> R + Send + 'static,
    ) -> R;

    /// Does something in the thread that fetches.
    fn on_fetcher<R: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Node) -> R + Send + 'static,
    ) -> R;

    /// The timers of all threads are due.
    fn tick(&mut self);

    /// The first thread that serves.
    fn first<R: Send + 'static>(&mut self, act: impl FnOnce(&mut Node) -> R + Send + 'static) -> R {
        self.on(0, act)
    }

    /// Time passes, at once.
    fn pass(&mut self, milliseconds: u64) {
        self.process()
            .clock
            .fetch_add(milliseconds, Ordering::SeqCst);
        self.tick();
    }

    /// How many fetches are under way.
    fn fetching(&mut self) -> usize {
        self.on_fetcher(|node| node.worker.host.fetches.len())
    }

    /// The sidecar answers the oldest fetch with credentials of this id, good for an
    /// hour. Whether the fetch wanted no copy.
    fn give(&mut self, id: &str) -> bool {
        self.give_for(id, 3_600_000)
    }

    /// As [`World::give`], but good for so many milliseconds.
    fn give_for(&mut self, id: &str, life: u64) -> bool {
        let expires_at = (self.process().clock.load(Ordering::SeqCst) + life) / 1000;
        let expiration = rfc3339_utc(expires_at);
        self.answer(
            200,
            format!(
                r#"{{"Code":"Success","AccessKeyId":"{id}","AccessKeySecret":"sesame-secret",
                    "SecurityToken":"sesame-token","Expiration":"{expiration}"}}"#
            ),
        )
    }

    /// The sidecar answers the oldest fetch. Whether the fetch wanted no copy.
    fn answer(&mut self, status: u16, body: String) -> bool {
        let no_cache = self.on_fetcher(move |node| {
            let body = body.as_bytes();
            let size = body.len();
            let fetch = node.answer(Answer::Given { status, size, body });
            fetch.unwrap().no_cache
        });
        self.announce();
        no_cache
    }

    /// Whoever has stored something tells all that serve.
    fn announce(&mut self) {
        for server in 0..self.servers() {
            self.on(server, Node::look);
        }
    }
}

fn process() -> Process {
    let process = Process::default();
    process.clock.store(START, Ordering::SeqCst);
    process
}

/// One thread with everything.
pub struct Solo {
    process: Process,
    pub node: Node,
}

impl World for Solo {
    fn new(configuration: &str) -> Solo {
        let process = process();
        Solo {
            node: Node::new(configuration, &process, 1),
            process,
        }
    }

    fn process(&self) -> &Process {
        &self.process
    }

    fn servers(&self) -> usize {
        1
    }

    fn on<R: Send + 'static>(
        &mut self,
        _: usize,
        act: impl FnOnce(&mut Node) -> R + Send + 'static,
    ) -> R {
        act(&mut self.node)
    }

    fn on_fetcher<R: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Node) -> R + Send + 'static,
    ) -> R {
        act(&mut self.node)
    }

    fn tick(&mut self) {
        self.node.fetch();
        self.node.look();
    }
}

/// A thread that fetches, and some that serve.
pub struct Fleet {
    process: Process,
    fetcher: Thread,
    servers: Vec<Thread>,
}

struct Thread {
    messages: Option<Sender<Message>>,
    handle: Option<JoinHandle<()>>,
}

type Message = Box<dyn FnOnce(&mut Node) + Send>;

impl Thread {
    fn new(configuration: &str, process: &Process, random: u64) -> Thread {
        let (messages, received) = channel::<Message>();
        let (configuration, process) = (configuration.to_owned(), process.clone());
        let handle = std::thread::spawn(move || {
            let mut node = Node::new(&configuration, &process, random);
            for message in received {
                message(&mut node);
            }
        });
        Thread {
            messages: Some(messages),
            handle: Some(handle),
        }
    }

    fn send(&self, message: impl FnOnce(&mut Node) + Send + 'static) {
        let messages = self.messages.as_ref().unwrap();
        assert!(
            messages.send(Box::new(message)).is_ok(),
            "the thread has died"
        );
    }

    fn ask<R: Send + 'static>(&self, act: impl FnOnce(&mut Node) -> R + Send + 'static) -> R {
        let (answer, answered) = channel();
        self.send(move |node| {
            let _ = answer.send(act(node));
        });
        answered.recv().unwrap()
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.messages = None;
        if let Some(handle) = self.handle.take() {
            let ended = handle.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

impl Fleet {
    /// Sends to every thread that serves, without waiting for any.
    pub fn everywhere(&self, act: impl Fn(&mut Node) + Clone + Send + 'static) {
        for server in &self.servers {
            let act = act.clone();
            server.send(move |node| act(node));
        }
    }
}

impl World for Fleet {
    fn new(configuration: &str) -> Fleet {
        let process = process();
        let thread = |random| Thread::new(configuration, &process, random);
        Fleet {
            fetcher: thread(1),
            servers: (2..6).map(thread).collect(),
            process,
        }
    }

    fn process(&self) -> &Process {
        &self.process
    }

    fn servers(&self) -> usize {
        self.servers.len()
    }

    fn on<R: Send + 'static>(
        &mut self,
        server: usize,
        act: impl FnOnce(&mut Node) -> R + Send + 'static,
    ) -> R {
        self.servers[server].ask(act)
    }

    fn on_fetcher<R: Send + 'static>(
        &mut self,
        act: impl FnOnce(&mut Node) -> R + Send + 'static,
    ) -> R {
        self.fetcher.ask(act)
    }

    fn tick(&mut self) {
        self.fetcher.ask(Node::fetch);
        for server in &self.servers {
            // Its own timer, which it has while requests wait.
            server.ask(|node| {
                if node.worker.has_parked() {
                    node.look();
                }
            });
        }
    }
}
