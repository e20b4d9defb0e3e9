//! One thread of a host: its worker, and the streams that it serves.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use log::Level;
use oss_origin_auth_core::config::Config;
use oss_origin_auth_core::exchange::{Action, Event, Exchange};
use oss_origin_auth_core::fetch::SharedData;
use oss_origin_auth_core::fetch::account::Fetch;
use oss_origin_auth_core::fetch::answer::Answer;
use oss_origin_auth_core::host::{Attribute, Host, Note, Response};
use oss_origin_auth_core::metrics::{Counter, Gauge, counter_name, gauge_name};
use oss_origin_auth_core::oss::error::MAX_BODY;
use oss_origin_auth_core::policy::edits::Edits;
use oss_origin_auth_core::policy::reply::Refusal;
use oss_origin_auth_core::signing::SignedHeaders;
use oss_origin_auth_core::worker::Worker;

use super::store::Store;

/// What all threads of a host share.
#[derive(Clone, Default)]
pub struct Process {
    pub store: Arc<Mutex<Store>>,
    /// Milliseconds since 1970; 0 for a clock that cannot be read.
    pub clock: Arc<AtomicU64>,
}

/// A thread's host.
pub struct Memory {
    process: Process,
    pub fetches: VecDeque<Fetch>,
    pub woken: Vec<u32>,
    pub metrics: BTreeMap<String, u64>,
    pub waits: Vec<u64>,
    /// The settings in the route's metadata.
    pub route_metadata: Vec<u8>,
    /// Whether anything can be noted.
    pub can_note: bool,
    /// Whether the streams are on a cluster, or else among a listener's filters.
    pub on_cluster: bool,
    /// Of the stream of this callback.
    attempt: u64,
    reads: Cell<usize>,
    /// What the attempts at the request of this callback have noted.
    notes: Notes,
}

/// By the note's name.
pub type Notes = Rc<RefCell<BTreeMap<String, Vec<u8>>>>;

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let all = (&self.fetches, &self.woken, &self.metrics, &self.waits);
        write!(f, "{all:?} {}", LOG.with_borrow(Vec::len))
    }
}

impl Memory {
    /// How many values of shared data have been read.
    pub fn reads(&self) -> usize {
        self.reads.get()
    }

    pub fn forget_reads(&self) {
        self.reads.set(0);
    }
}

impl SharedData for Memory {
    fn get(&self, key: &str) -> (Option<Vec<u8>>, u32) {
        self.reads.set(self.reads.get() + 1);
        self.process.store.lock().unwrap().get(key)
    }

    fn set(&mut self, key: &str, value: &[u8], cas: u32) -> bool {
        self.process.store.lock().unwrap().set(key, value, cas)
    }
}

impl Host for Memory {
    type Handle = u32;

    fn now(&self) -> Option<u64> {
        let now = self.process.clock.load(Ordering::SeqCst);
        (now > 0).then_some(now)
    }

    fn log(&self, level: Level, message: &str) {
        // `log` takes no `&mut`, as Envoy's needs none.
        LOG.with_borrow_mut(|log| log.push(format!("{level:?}: {message}")));
    }

    fn count(&mut self, counter: Counter, by: u64) {
        *self.metrics.entry(counter_name(counter)).or_default() += by;
    }

    fn gauge(&mut self, gauge: Gauge, value: u64) {
        self.metrics.insert(gauge_name(gauge), value);
    }

    fn record_wait(&mut self, milliseconds: u64) {
        self.waits.push(milliseconds);
    }

    fn callout(&mut self, fetch: Fetch) {
        self.fetches.push_back(fetch);
    }

    fn wake(&mut self, handle: u32) {
        self.woken.push(handle);
    }

    fn attribute(&self, attribute: Attribute) -> Vec<u8> {
        match attribute {
            Attribute::RouteName => b"route".to_vec(),
            Attribute::RouteMetadata => self.route_metadata.clone(),
            Attribute::ClusterName => b"outbound|443||oss.dns".to_vec(),
            Attribute::ClusterMetadata => Vec::new(),
        }
    }

    fn attempt(&self) -> u64 {
        if self.on_cluster { self.attempt } else { 0 }
    }

    fn noted(&self, note: Note) -> Vec<u8> {
        let notes = self.notes.borrow();
        notes.get(&format!("{note:?}")).cloned().unwrap_or_default()
    }

    fn note(&mut self, note: Note, value: &[u8]) -> bool {
        if self.can_note {
            let mut notes = self.notes.borrow_mut();
            notes.insert(format!("{note:?}"), value.to_vec());
        }
        self.can_note
    }
}

thread_local! {
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// An [`Action`], as the world outside of its thread sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Passes(Edited),
    Held,
    Reply(Refusal),
    Replaced(String),
}

/// What was done to headers: nothing, where all of it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edited {
    pub remove: Vec<String>,
    pub set: Vec<(String, String)>,
    pub added: Vec<(String, String)>,
}

/// What passes as it came.
pub fn untouched() -> Seen {
    Seen::Passes(Edited::default())
}

impl Seen {
    /// The AccessKey id in the signature of a request that has left.
    pub fn key(&self) -> String {
        let Seen::Passes(Edited { added, .. }) = self else {
            panic!("it has not left: {self:?}")
        };
        assert_eq!(added[0].0, "authorization");
        let key = added[0].1.split_once("Credential=").unwrap().1;
        key.split('/').next().unwrap().to_owned()
    }

    pub fn edited(&self) -> &Edited {
        match self {
            Seen::Passes(edited) => edited,
            other => panic!("{other:?}"),
        }
    }

    pub fn refusal(&self) -> &Refusal {
        match self {
            Seen::Reply(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }
}

impl From<Action> for Seen {
    fn from(action: Action) -> Seen {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match action {
            Action::Hold => Seen::Held,
            Action::Reply(refusal) => Seen::Reply(refusal),
            Action::ReplaceBody(with) => Seen::Replaced(text(&with)),
            Action::Continue(Edits { remove, set, add }) => {
                let added = add.iter().flat_map(SignedHeaders::iter);
                Seen::Passes(Edited {
                    remove: remove.iter().map(|name| text(name)).collect(),
                    set: set
                        .iter()
                        .map(|(name, value)| (name.to_string(), text(value)))
                        .collect(),
                    added: added
                        .map(|(name, value)| (name.to_owned(), text(value)))
                        .collect(),
                })
            }
        }
    }
}

/// A thread of a host.
pub struct Node {
    pub worker: Worker<Memory>,
    streams: BTreeMap<u32, Stream>,
    last: u32,
    requests: Vec<(u32, Seen)>,
    /// All actions, as a log could show them.
    shown: String,
}

struct Stream {
    exchange: Exchange<u32>,
    notes: Notes,
    attempt: u64,
    path: String,
    /// What became of its request, once that is known.
    fate: Option<Seen>,
}

/// Of all requests: the host of the bucket `my-bucket` at the endpoint `oss`.
pub const HOST: &str = "my-bucket.oss";

impl Node {
    pub fn new(configuration: &str, process: &Process, random: u64) -> Node {
        let key = |name: &str| Some(format!("{name}-of-the-environment"));
        let config = Config::parse(configuration.as_bytes(), key).unwrap();
        let host = Memory {
            process: process.clone(),
            fetches: VecDeque::new(),
            woken: Vec::new(),
            metrics: BTreeMap::new(),
            waits: Vec::new(),
            route_metadata: Vec::new(),
            can_note: true,
            on_cluster: true,
            attempt: 1,
            reads: Cell::default(),
            notes: Notes::default(),
        };
        Node {
            worker: Worker::new(config, random, host),
            streams: BTreeMap::new(),
            last: 0,
            requests: Vec::new(),
            shown: String::new(),
        }
    }

    /// A request for a path: the number of its stream.
    pub fn request(&mut self, path: &str) -> u32 {
        self.attempt(path, Notes::default(), 1)
    }

    /// Another attempt at the request of a stream, with the path as that has left it.
    pub fn retry(&mut self, stream: u32) -> u32 {
        let before = &self.streams[&stream];
        let set = match &before.fate {
            Some(Seen::Passes(edited)) => &edited.set[..],
            _ => &[],
        };
        let edited = set.iter().find(|(name, _)| name == ":path");
        let path = edited.map_or_else(|| before.path.clone(), |(_, path)| path.clone());
        self.retry_as(stream, &path)
    }

    /// Another attempt at the request of a stream, with another path.
    pub fn retry_as(&mut self, stream: u32, path: &str) -> u32 {
        let before = &self.streams[&stream];
        let (notes, attempt) = (Rc::clone(&before.notes), before.attempt + 1);
        self.attempt(path, notes, attempt)
    }

    /// Has an attempt note something else.
    pub fn set_note(&mut self, stream: u32, note: Note, value: &[u8]) {
        let notes = &self.streams[&stream].notes;
        notes.borrow_mut().insert(format!("{note:?}"), value.into());
    }
    /// What happens to a stream happens to one of which nothing has come yet.
    pub fn again(&mut self, stream: u32, event: Event) -> Seen {
        let known = self.streams.get_mut(&stream).unwrap();
        known.exchange = Exchange::new(stream);
        self.on(stream, event)
    }

    /// A redirect of a stream within its host: another request, which starts from the beginning.
    pub fn redirect(&mut self, stream: u32, path: &str) -> u32 {
        let notes = Rc::clone(&self.streams[&stream].notes);
        self.attempt(path, notes, 1)
    }

    fn attempt(&mut self, path: &str, notes: Notes, attempt: u64) -> u32 {
        self.last += 1;
        let stream = Stream {
            exchange: Exchange::new(self.last),
            notes,
            attempt,
            path: path.to_owned(),
            fate: None,
        };
        self.streams.insert(self.last, stream);
        let headers: &[(&[u8], &[u8])] = &[
            (b":method", b"GET"),
            (b":authority", HOST.as_bytes()),
            (b":path", path.as_bytes()),
            (b"authorization", b"Bearer of-the-client"),
        ];
        self.on(self.last, Event::RequestHeaders(headers));
        self.last
    }

    /// Something happens to a stream.
    pub fn on(&mut self, stream: u32, event: Event) -> Seen {
        let known = self.streams.get_mut(&stream).unwrap();
        self.worker.host.notes = Rc::clone(&known.notes);
        self.worker.host.attempt = known.attempt;
        let action = known.exchange.on(event, &mut self.worker);
        self.shown += &format!("{action:?}");
        let seen = Seen::from(action);
        let decides = match event {
            Event::RequestHeaders(_) | Event::Woken => seen != Seen::Held,
            Event::EditsFailed => matches!(seen, Seen::Reply(_)),
            _ => false,
        };
        if decides {
            known.fate = Some(seen.clone());
            self.requests.push((stream, seen.clone()));
        }
        seen
    }

    /// What became of the request of a stream; `None` while it is held.
    pub fn fate(&self, stream: u32) -> Option<Seen> {
        self.streams[&stream].fate.clone()
    }

    pub fn wants_body(&self, stream: u32) -> bool {
        self.streams[&stream].exchange.wants_body()
    }

    pub fn needs_gone(&self, stream: u32) -> bool {
        self.streams[&stream].exchange.needs_gone()
    }

    /// What was noted with the request of a stream.
    pub fn noted(&self, stream: u32, note: Note) -> Option<Vec<u8>> {
        let notes = self.streams[&stream].notes.borrow();
        notes.get(&format!("{note:?}")).cloned()
    }

    /// What has become of requests since the last time.
    pub fn take_requests(&mut self) -> Vec<(u32, Seen)> {
        std::mem::take(&mut self.requests)
    }

    /// OSS answers a stream.
    pub fn respond(&mut self, stream: u32, answer: &OssAnswer) -> Vec<Seen> {
        let last = answer.pieces.is_empty() && answer.trailers.is_empty();
        let mut seen = vec![self.on(
            stream,
            Event::ResponseHeaders {
                response: answer,
                last,
            },
        )];
        for (at, piece) in answer.pieces.iter().enumerate() {
            let response = &OssAnswer {
                now: piece.clone(),
                ..answer.clone()
            };
            let last = at + 1 == answer.pieces.len() && answer.trailers.is_empty();
            seen.push(self.on(stream, Event::ResponseBody { response, last }));
        }
        if !answer.trailers.is_empty() {
            let response = &OssAnswer {
                headers: answer.trailers.clone(),
                ..answer.clone()
            };
            seen.push(self.on(stream, Event::ResponseTrailers(response)));
        }
        seen
    }

    pub fn fetch(&mut self) {
        self.worker.fetch();
    }

    /// The oldest fetch under way is answered.
    pub fn answer(&mut self, answer: Answer) -> Option<Fetch> {
        let fetch = self.worker.host.fetches.pop_front()?;
        self.worker.on_answer(&fetch, answer);
        Some(fetch)
    }

    pub fn look(&mut self) {
        self.worker.look();
        for stream in std::mem::take(&mut self.worker.host.woken) {
            self.on(stream, Event::Woken);
        }
    }

    /// What was counted since the start.
    pub fn counted(&mut self, name: &str) -> u64 {
        self.worker.report();
        let name = format!("oss_origin_auth.{name}");
        self.worker.host.metrics.get(&name).map_or(0, |n| *n)
    }

    /// What was logged since the last time.
    pub fn logged(&mut self) -> String {
        LOG.take().join("\n")
    }

    /// Everything that a thread holds, as a log could show it.
    pub fn shown(&self) -> String {
        let exchanges = self.streams.values().map(|stream| &stream.exchange);
        let exchanges: Vec<_> = exchanges.collect();
        format!("{} {:?} {exchanges:?}", self.shown, self.worker)
    }
}

/// What OSS answers.
#[derive(Clone, Default)]
pub struct OssAnswer {
    pub headers: Vec<(String, String)>,
    pub pieces: Vec<Vec<u8>>,
    pub trailers: Vec<(String, String)>,
    /// The piece that passes now.
    now: Vec<u8>,
}

impl OssAnswer {
    pub fn new(status: u16) -> OssAnswer {
        OssAnswer::default().header(":status", &status.to_string())
    }

    /// An error with this number.
    pub fn error(status: u16, ec: &str) -> OssAnswer {
        let request_id = "5C3D9175B6FC201293AD0001";
        OssAnswer::new(status)
            .header("x-oss-ec", ec)
            .header("x-oss-request-id", request_id)
    }

    pub fn header(mut self, name: &str, value: &str) -> OssAnswer {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn piece(mut self, piece: &str) -> OssAnswer {
        self.pieces.push(piece.as_bytes().to_vec());
        self
    }

    pub fn trailer(mut self, name: &str) -> OssAnswer {
        self.trailers.push((name.to_owned(), String::new()));
        self
    }
}

impl Response for OssAnswer {
    fn header(&self, name: &str) -> Vec<u8> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value.clone().into_bytes())
            .unwrap_or_default()
    }

    fn names(&self) -> Vec<Vec<u8>> {
        let names = self
            .headers
            .iter()
            .map(|(name, _)| name.clone().into_bytes());
        names.collect()
    }

    fn body(&self, most: usize) -> Vec<u8> {
        assert!(most <= MAX_BODY, "no more is kept of a body");
        self.now.iter().copied().take(most).collect()
    }
}
