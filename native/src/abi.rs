//! Envoy's ABI of dynamic modules (`source/extensions/dynamic_modules/abi/abi.h`, v0.1.0 of
//! Envoy 1.38 and 1.39, v0.2.0 of 1.40), wrapped in safe functions. The hooks that Envoy calls
//! are in `hooks.rs`. All unsafe code of the module is in these two files.
//!
//! Envoy owns the memory that it passes, and may free it after the hook or at the next change.
//! So bytes are copied here, or lent to a closure ([`Filter::headers`]).

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{self, NonNull};
use std::sync::OnceLock;
use std::{mem, slice};

use log::Level;

/// The version of the ABI that this code is written for. Envoy logs if its own differs.
pub const VERSION: &CStr = c"v0.2.0";

/// The error of a call that Envoy did not perform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// The result of a call to Envoy.
pub type Result<T> = std::result::Result<T, Refused>;

/// A header: its name and its value.
pub type Header<'a> = (&'a [u8], &'a [u8]);

/// The headers or trailers of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Request = 0,
    Response = 2,
    ResponseTrailers = 3,
}

/// The place of metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataOf {
    Stream = 0,
    Route = 1,
    Cluster = 2,
}

/// The type `envoy_dynamic_module_type_attribute_id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    UpstreamAddress = 41,
    AttemptCount = 53,
    RouteName = 61,
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// A metric of a configuration: Envoy's id of it, and its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    kind: MetricKind,
    id: usize,
}

impl Metric {
    /// Whether a new value replaces the old one.
    pub fn is_gauge(self) -> bool {
        self.kind == MetricKind::Gauge
    }
}

/// Envoy's filter of one stream. It must not be used after Envoy has destroyed the filter (a
/// hook reports this), nor on another thread. The compiler checks the latter, because a raw
/// pointer is not `Send`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter(pub NonNull<c_void>);

/// Envoy's filter configuration, on the main thread. Not to be used after its destruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration(pub NonNull<c_void>);

impl Filter {
    /// Lends all headers of a part, possibly none, to `use_them`, which must not change it.
    pub fn headers<T>(self, part: Part, use_them: impl FnOnce(&[Header]) -> T) -> T {
        // SAFETY: the filter is alive (see [`Filter`]). Envoy fills in as many headers as it
        // has reported, and does not change them until the part is changed.
        unsafe {
            let size = http_get_headers_size(self.0.as_ptr(), part as u32);
            let mut raw: Vec<EnvoyHeader> = Vec::with_capacity(size);
            if size > 0 && http_get_headers(self.0.as_ptr(), part as u32, raw.as_mut_ptr()) {
                raw.set_len(size);
            }
            let borrow = |header: EnvoyHeader| (header.name.lend(), header.value.lend());
            use_them(&raw.into_iter().map(borrow).collect::<Vec<Header>>())
        }
    }

    /// The first value of a header; empty if there is none.
    pub fn header(self, part: Part, name: &str) -> Vec<u8> {
        let (part, no_count) = (part as u32, ptr::null_mut());
        let name = Buffer::of(name.as_bytes());
        // SAFETY: the filter is alive.
        copied(|to| unsafe { http_get_header(self.0.as_ptr(), part, name, to, 0, no_count) })
    }

    /// Sets a header and replaces all headers of its name.
    pub fn set_header(self, part: Part, name: &[u8], value: &[u8]) -> Result<()> {
        // SAFETY: the filter is alive. Envoy copies both.
        let (name, value) = (Buffer::of(name), Buffer::of(value));
        done(unsafe { http_set_header(self.0.as_ptr(), part as u32, name, value) })
    }

    /// Adds a header and keeps other headers of its name.
    pub fn add_header(self, part: Part, name: &[u8], value: &[u8]) -> Result<()> {
        // SAFETY: the filter is alive. Envoy copies both.
        let (name, value) = (Buffer::of(name), Buffer::of(value));
        done(unsafe { http_add_header(self.0.as_ptr(), part as u32, name, value) })
    }

    /// Removes all headers of a name.
    pub fn remove_header(self, part: Part, name: &[u8]) -> Result<()> {
        // SAFETY: the filter is alive. A missing value removes the header.
        done(unsafe { http_set_header(self.0.as_ptr(), part as u32, Buffer::of(name), NO_VALUE) })
    }

    /// Sends a local reply. `details` goes to Envoy's access log. Envoy may destroy the filter
    /// before this returns.
    pub fn reply(self, status: u16, headers: &[Header], body: &str, details: &str) {
        let headers: Vec<ModuleHeader> = headers.iter().map(ModuleHeader::of).collect();
        let (body, details) = (Buffer::of(body.as_bytes()), Buffer::of(details.as_bytes()));
        // SAFETY: the filter is alive. Envoy copies all of it.
        unsafe {
            let (first, count) = (headers.as_ptr(), headers.len());
            http_send_response(self.0.as_ptr(), status.into(), first, count, body, details);
        }
    }

    /// Continues a request that a hook has held.
    pub fn continue_request(self) {
        // SAFETY: the filter is alive.
        unsafe { http_filter_continue_decoding(self.0.as_ptr()) }
    }

    /// The first `most` bytes of the current piece of the response body.
    pub fn response_body(self, most: usize) -> Vec<u8> {
        let mut body = Vec::new();
        // SAFETY: the filter is alive. Envoy fills in as many pieces as it has reported.
        unsafe {
            let size = http_get_body_chunks_size(self.0.as_ptr(), RECEIVED_RESPONSE_BODY);
            let mut chunks: Vec<Buffer> = Vec::with_capacity(size);
            let first = chunks.as_mut_ptr();
            if size > 0 && http_get_body_chunks(self.0.as_ptr(), RECEIVED_RESPONSE_BODY, first) {
                chunks.set_len(size);
            }
            for chunk in &chunks {
                let room = most.saturating_sub(body.len());
                body.extend(chunk.lend().iter().take(room));
            }
        }
        body
    }

    /// Replaces the current piece of the response body.
    pub fn replace_response_body(self, body: &[u8]) -> Result<()> {
        let filter = self.0.as_ptr();
        // SAFETY: the filter is alive. Envoy copies the body.
        unsafe {
            done(http_drain_body(filter, RECEIVED_RESPONSE_BODY, usize::MAX))?;
            match body {
                [] => Ok(()),
                _ => done(http_append_body(
                    filter,
                    RECEIVED_RESPONSE_BODY,
                    Buffer::of(body),
                )),
            }
        }
    }

    /// A text attribute of the stream; empty if Envoy does not have it.
    pub fn text(self, attribute: Attribute) -> Vec<u8> {
        // SAFETY: the filter is alive.
        copied(|to| unsafe {
            http_filter_get_attribute_string(self.0.as_ptr(), attribute as u32, to)
        })
    }

    /// The name of the cluster of the stream's route; empty if there is none.
    pub fn cluster_name(self) -> Vec<u8> {
        // SAFETY: the filter is alive.
        copied(|to| unsafe { http_get_cluster_name(self.0.as_ptr(), to) })
    }

    /// A number attribute of the stream.
    pub fn number(self, attribute: Attribute) -> Option<u64> {
        let (id, mut value) = (attribute as u32, 0);
        // SAFETY: the filter is alive.
        let known = unsafe { http_filter_get_attribute_int(self.0.as_ptr(), id, &mut value) };
        known.then_some(value)
    }

    /// A string in metadata; empty if there is none.
    pub fn metadata(self, of: MetadataOf, namespace: &str, key: &str) -> Vec<u8> {
        let (namespace, key) = (Buffer::of(namespace.as_bytes()), Buffer::of(key.as_bytes()));
        // SAFETY: the filter is alive.
        copied(|to| unsafe {
            http_get_metadata_string(self.0.as_ptr(), of as u32, namespace, key, to)
        })
    }

    /// Sets a string in the stream's own metadata.
    pub fn set_metadata(self, namespace: &str, key: &str, value: &[u8]) {
        let (namespace, key) = (Buffer::of(namespace.as_bytes()), Buffer::of(key.as_bytes()));
        // SAFETY: the filter is alive. Envoy copies all three.
        unsafe {
            let value = Buffer::of(value);
            http_set_dynamic_metadata_string(self.0.as_ptr(), namespace, key, value);
        }
    }

    /// Adds to a counter or a histogram, or sets a gauge, of this filter's configuration.
    pub fn record(self, metric: Metric, value: u64) {
        let (filter, id, no_labels) = (self.0.as_ptr(), metric.id, ptr::null());
        // SAFETY: the filter is alive. Envoy rejects unknown ids.
        let _ = unsafe {
            match metric.kind {
                MetricKind::Counter => {
                    http_filter_increment_counter(filter, id, no_labels, 0, value)
                }
                MetricKind::Gauge => http_filter_set_gauge(filter, id, no_labels, 0, value),
                MetricKind::Histogram => {
                    http_filter_record_histogram_value(filter, id, no_labels, 0, value)
                }
            }
        };
    }

    /// A waker that calls this stream from another thread; `None` if Envoy has none.
    pub fn waker(self) -> Option<Waker> {
        // SAFETY: the filter is alive.
        let scheduler = unsafe { http_filter_scheduler_new(self.0.as_ptr()) };
        NonNull::new(scheduler).map(|pointer| Waker {
            pointer,
            commit: http_filter_scheduler_commit,
            delete: http_filter_scheduler_delete,
        })
    }
}

impl Configuration {
    /// Defines a metric. This is possible only while the configuration is created.
    pub fn define(self, kind: MetricKind, name: &str) -> Result<Metric> {
        let define = match kind {
            MetricKind::Counter => http_filter_config_define_counter,
            MetricKind::Gauge => http_filter_config_define_gauge,
            MetricKind::Histogram => http_filter_config_define_histogram,
        };
        let (name, mut id) = (Buffer::of(name.as_bytes()), 0);
        // SAFETY: the configuration is alive. Envoy copies the name.
        let result = unsafe { define(self.0.as_ptr(), name, ptr::null(), 0, &mut id) };
        done(result == 0).map(|()| Metric { kind, id })
    }

    /// Adds to a counter, or sets a gauge. Envoy 1.38 has no function for this, and no Envoy
    /// has one for a histogram.
    pub fn record(self, metric: Metric, value: u64) -> Result<()> {
        let function = match metric.kind {
            MetricKind::Counter => optional(&COUNT, c"http_filter_config_increment_counter"),
            MetricKind::Gauge => optional(&SET, c"http_filter_config_set_gauge"),
            MetricKind::Histogram => None,
        };
        let function = function.ok_or(Refused)?;
        // SAFETY: the configuration is alive.
        let result = unsafe { function(self.0.as_ptr(), metric.id, ptr::null(), 0, value) };
        done(result == 0)
    }

    /// A waker that calls this configuration on the main thread, from any thread.
    pub fn waker(self) -> Option<Waker> {
        // SAFETY: the configuration is alive.
        let scheduler = unsafe { http_filter_config_scheduler_new(self.0.as_ptr()) };
        NonNull::new(scheduler).map(|pointer| Waker {
            pointer,
            commit: http_filter_config_scheduler_commit,
            delete: http_filter_config_scheduler_delete,
        })
    }

    /// Sends a request without a body to a cluster and returns Envoy's id of it. Main thread
    /// only.
    pub fn callout(self, cluster: &str, headers: &[Header], timeout_ms: u64) -> Result<u64> {
        let headers: Vec<ModuleHeader> = headers.iter().map(ModuleHeader::of).collect();
        let (cluster, body) = (Buffer::of(cluster.as_bytes()), Buffer::of(&[]));
        let mut id = 0;
        // SAFETY: the configuration is alive. Envoy copies all of it.
        let result = unsafe {
            let (config, first, count) = (self.0.as_ptr(), headers.as_ptr(), headers.len());
            http_filter_config_http_callout(
                config, &mut id, cluster, first, count, body, timeout_ms,
            )
        };
        done(result == 0).map(|()| id)
    }
}

/// Calls a stream or a configuration on its own thread.
#[derive(Debug)]
pub struct Waker {
    pointer: NonNull<c_void>,
    commit: unsafe extern "C" fn(*mut c_void, u64),
    delete: unsafe extern "C" fn(*mut c_void),
}

// SAFETY: Envoy's schedulers may be used from other threads: they hold the dispatcher of their
// thread and a weak pointer to the stream or configuration.
unsafe impl Send for Waker {}

impl Waker {
    /// Calls the hook. Nothing happens if the stream or configuration no longer exists.
    pub fn wake(&self) {
        // SAFETY: the scheduler is alive until this is dropped.
        unsafe { (self.commit)(self.pointer.as_ptr(), 0) }
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        // SAFETY: Envoy has given this scheduler to this waker alone.
        unsafe { (self.delete)(self.pointer.as_ptr()) }
    }
}

/// Writes to Envoy's log.
pub fn log(level: Level, message: &str) {
    let level = match level {
        Level::Trace => 0,
        Level::Debug => 1,
        Level::Info => 2,
        Level::Warn => 3,
        Level::Error => 4,
    };
    // SAFETY: Envoy copies the message.
    unsafe { envoy_log(level, Buffer::of(message.as_bytes())) }
}

fn done(success: bool) -> Result<()> {
    match success {
        true => Ok(()),
        false => Err(Refused),
    }
}

/// The value `envoy_dynamic_module_type_http_body_type_ReceivedResponseBody`.
const RECEIVED_RESPONSE_BODY: u32 = 2;

/// The types `envoy_dynamic_module_type_envoy_buffer` and `…_module_buffer`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buffer {
    data: *const u8,
    length: usize,
}

const NO_VALUE: Buffer = Buffer {
    data: ptr::null(),
    length: 0,
};

impl Buffer {
    fn of(bytes: &[u8]) -> Buffer {
        let (data, length) = (bytes.as_ptr(), bytes.len());
        Buffer { data, length }
    }

    /// # Safety
    ///
    /// The buffer must be Envoy's and be valid for `'a`.
    pub unsafe fn lend<'a>(&self) -> &'a [u8] {
        match self.data.is_null() {
            true => &[],
            // SAFETY: as the caller promises.
            false => unsafe { slice::from_raw_parts(self.data, self.length) },
        }
    }
}

/// The type `envoy_dynamic_module_type_envoy_http_header`.
#[repr(C)]
pub struct EnvoyHeader {
    /// The name of the header.
    pub name: Buffer,
    /// The value of the header.
    pub value: Buffer,
}

/// The type `envoy_dynamic_module_type_module_http_header`.
type ModuleHeader = EnvoyHeader;

impl ModuleHeader {
    fn of((name, value): &Header) -> ModuleHeader {
        EnvoyHeader {
            name: Buffer::of(name),
            value: Buffer::of(value),
        }
    }
}

/// A function that records a metric of a configuration: id, labels and their number, value.
type Record = unsafe extern "C" fn(*mut c_void, usize, *const Buffer, usize, u64) -> u32;

static COUNT: OnceLock<Option<Record>> = OnceLock::new();
static SET: OnceLock<Option<Record>> = OnceLock::new();

/// Copies a buffer that Envoy sets, if it has the value; empty otherwise.
fn copied(get: impl FnOnce(*mut Buffer) -> bool) -> Vec<u8> {
    let mut value = Buffer::of(&[]);
    match get(&raw mut value) {
        // SAFETY: Envoy has set the buffer, which is valid until the hook ends.
        true => unsafe { value.lend() }.to_vec(),
        false => Vec::new(),
    }
}

/// Looks up a function that some Envoys lack. If it were only declared, those Envoys could not
/// load the module.
fn optional(known: &OnceLock<Option<Record>>, name: &CStr) -> Option<Record> {
    *known.get_or_init(|| {
        let name = [
            c"envoy_dynamic_module_callback_".to_bytes(),
            name.to_bytes_with_nul(),
        ];
        // SAFETY: the name ends with a NUL. A function of this name is Envoy's and has this
        // type.
        unsafe {
            let found = dlsym(ptr::null_mut(), name.concat().as_ptr().cast());
            mem::transmute::<*mut c_void, Option<Record>>(found)
        }
    })
}

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Declares Envoy's functions, whose names have a long prefix.
macro_rules! callbacks {
    ($(fn $name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        unsafe extern "C" {
            $(
                #[link_name = concat!("envoy_dynamic_module_callback_", stringify!($name))]
                fn $name($($argument: $type),*) $(-> $result)?;
            )*
        }
    };
}

/// A pointer to Envoy's filter, configuration or scheduler.
type Pointer = *mut c_void;
/// A pointer to labels; there are none.
type Labels = *const Buffer;
type First = *const ModuleHeader;

callbacks! {
    fn http_get_headers_size(filter: Pointer, part: u32) -> usize;
    fn http_get_headers(filter: Pointer, part: u32, to: *mut EnvoyHeader) -> bool;
    fn http_get_header(filter: Pointer, part: u32, name: Buffer, to: *mut Buffer, index: usize, count: *mut usize) -> bool;
    fn http_set_header(filter: Pointer, part: u32, name: Buffer, value: Buffer) -> bool;
    fn http_add_header(filter: Pointer, part: u32, name: Buffer, value: Buffer) -> bool;
    fn http_send_response(filter: Pointer, status: u32, headers: First, count: usize, body: Buffer, details: Buffer);
    fn http_filter_continue_decoding(filter: Pointer);
    fn http_get_body_chunks_size(filter: Pointer, body: u32) -> usize;
    fn http_get_body_chunks(filter: Pointer, body: u32, to: *mut Buffer) -> bool;
    fn http_drain_body(filter: Pointer, body: u32, bytes: usize) -> bool;
    fn http_append_body(filter: Pointer, body: u32, data: Buffer) -> bool;
    fn http_filter_get_attribute_string(filter: Pointer, id: u32, to: *mut Buffer) -> bool;
    fn http_filter_get_attribute_int(filter: Pointer, id: u32, to: *mut u64) -> bool;
    fn http_get_cluster_name(filter: Pointer, to: *mut Buffer) -> bool;
    fn http_get_metadata_string(filter: Pointer, of: u32, namespace: Buffer, key: Buffer, to: *mut Buffer) -> bool;
    fn http_set_dynamic_metadata_string(filter: Pointer, namespace: Buffer, key: Buffer, value: Buffer);
    fn http_filter_increment_counter(filter: Pointer, id: usize, labels: Labels, count: usize, value: u64) -> u32;
    fn http_filter_set_gauge(filter: Pointer, id: usize, labels: Labels, count: usize, value: u64) -> u32;
    fn http_filter_record_histogram_value(filter: Pointer, id: usize, labels: Labels, count: usize, value: u64) -> u32;
    fn http_filter_scheduler_new(filter: Pointer) -> Pointer;
    fn http_filter_scheduler_commit(scheduler: Pointer, event: u64);
    fn http_filter_scheduler_delete(scheduler: Pointer);
    fn http_filter_config_define_counter(config: Pointer, name: Buffer, labels: Labels, count: usize, id: *mut usize) -> u32;
    fn http_filter_config_define_gauge(config: Pointer, name: Buffer, labels: Labels, count: usize, id: *mut usize) -> u32;
    fn http_filter_config_define_histogram(config: Pointer, name: Buffer, labels: Labels, count: usize, id: *mut usize) -> u32;
    fn http_filter_config_scheduler_new(config: Pointer) -> Pointer;
    fn http_filter_config_scheduler_commit(scheduler: Pointer, event: u64);
    fn http_filter_config_scheduler_delete(scheduler: Pointer);
    fn http_filter_config_http_callout(config: Pointer, id: *mut u64, cluster: Buffer, headers: First, count: usize, body: Buffer, timeout_ms: u64) -> u32;
}

unsafe extern "C" {
    #[link_name = "envoy_dynamic_module_callback_log"]
    fn envoy_log(level: u32, message: Buffer);
}
