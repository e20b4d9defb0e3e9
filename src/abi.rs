//! The host's functions (proxy-wasm ABI 0.2.1), wrapped in safe functions.
//!
//! The SDK's own wrappers panic on an unexpected status and, some of them, on text that is not
//! UTF-8; a panic ends the worker's VM. Here every status is a value. The SDK is used only to
//! dispatch the callbacks.

use std::ptr;

use proxy_wasm::types::{BufferType, MapType, MetricType};

/// The result of a call. The error is the ABI's number of a status other than OK.
pub type Result<T> = std::result::Result<T, u32>;

/// The compare-and-set number for creating a value. The host assigns numbers from 1 upwards,
/// and checks any number but 0. So this one succeeds only while the key has no value.
pub const CAS_OF_ABSENT: u32 = u32::MAX;

/// The first `max` bytes of a buffer.
pub fn buffer(buffer: BufferType, max: usize) -> Result<Vec<u8>> {
    owned(|data, size| unsafe { proxy_get_buffer_bytes(buffer as u32, 0, max, data, size) })
}

/// All headers of a map, in the host's serialized format: see [`header_pairs`].
pub fn header_map(map: MapType) -> Result<Vec<u8>> {
    owned(|data, size| unsafe { proxy_get_header_map_pairs(map as u32, data, size) })
}

/// Splits a serialized map: the number of pairs, the two lengths of each, then each name and
/// value with a NUL after it. It stops at the first inconsistency.
pub fn header_pairs(serialized: &[u8]) -> Vec<(&[u8], &[u8])> {
    let (count, rest) = serialized.split_at_checked(4).unwrap_or_default();
    let count = length(count).min(rest.len() / 8);
    let (lengths, mut texts) = rest.split_at_checked(count * 8).unwrap_or_default();
    let mut next = |size: &[u8]| {
        let (text, behind) = texts.split_at_checked(length(size))?;
        texts = behind.get(1..).unwrap_or_default();
        Some(text)
    };
    let mut pairs = Vec::with_capacity(count);
    for sizes in lengths.chunks_exact(8) {
        let (name, value) = sizes.split_at(4);
        match (next(name), next(value)) {
            (Some(name), Some(value)) => pairs.push((name, value)),
            _ => break,
        }
    }
    pairs
}

/// Reads a length of four bytes.
fn length(bytes: &[u8]) -> usize {
    bytes.try_into().map_or(0, u32::from_le_bytes) as usize
}

/// The value of a header.
pub fn header(map: MapType, name: &str) -> Result<Vec<u8>> {
    let (n, len) = (name.as_ptr(), name.len());
    owned(|data, size| unsafe { proxy_get_header_map_value(map as u32, n, len, data, size) })
}

/// Sets a header and replaces all headers of its name.
pub fn set_header(map: MapType, name: &str, value: &[u8]) -> Result<()> {
    let (n, v) = (name.as_ptr(), value.as_ptr());
    check(unsafe { proxy_replace_header_map_value(map as u32, n, name.len(), v, value.len()) })
}

/// Adds a header that does not exist yet. This costs a fifth less than setting it, because the
/// host need not search for it.
pub fn add_header(map: MapType, name: &str, value: &[u8]) -> Result<()> {
    let (n, v) = (name.as_ptr(), value.as_ptr());
    check(unsafe { proxy_add_header_map_value(map as u32, n, name.len(), v, value.len()) })
}

/// Removes all headers of a name.
pub fn remove_header(map: MapType, name: &[u8]) -> Result<()> {
    check(unsafe { proxy_remove_header_map_value(map as u32, name.as_ptr(), name.len()) })
}

/// Replaces the available part of the response body.
pub fn replace_response_body(body: &[u8]) -> Result<()> {
    let (kind, all) = (BufferType::HttpResponseBody as u32, usize::MAX);
    check(unsafe { proxy_set_buffer_bytes(kind, 0, all, body.as_ptr(), body.len()) })
}

/// The id of the metric of this name, which is created if it does not exist.
pub fn define_metric(kind: MetricType, name: &str) -> Result<u32> {
    let mut id = 0;
    check(unsafe { proxy_define_metric(kind as u32, name.as_ptr(), name.len(), &mut id) })?;
    Ok(id)
}

/// Adds to a counter.
pub fn increment(counter: u32, by: u64) -> Result<()> {
    check(unsafe { proxy_increment_metric(counter, by as i64) })
}

/// Sets a gauge, or adds a value to a histogram.
pub fn record(metric: u32, value: u64) -> Result<()> {
    check(unsafe { proxy_record_metric(metric, value) })
}

/// Sets `wasm.<name>` in the stream's filter state, for the access log.
pub fn set_filter_state(name: &str, value: &[u8]) -> Result<()> {
    check(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// A property. The parts of its path are separated by NULs.
pub fn property(path: &str) -> Result<Vec<u8>> {
    owned(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
}

/// A value of shared data, and its compare-and-set number.
pub fn shared_data(key: &str) -> (Option<Vec<u8>>, u32) {
    let mut cas = 0;
    let (k, len) = (key.as_ptr(), key.len());
    match owned(|data, size| unsafe { proxy_get_shared_data(k, len, data, size, &mut cas) }) {
        Ok(value) => (Some(value), cas),
        Err(_) => (None, CAS_OF_ABSENT),
    }
}

/// Writes a value of shared data if its compare-and-set number is still `cas`.
pub fn set_shared_data(key: &str, value: &[u8], cas: u32) -> Result<()> {
    let (k, v) = (key.as_ptr(), value.as_ptr());
    check(unsafe { proxy_set_shared_data(k, key.len(), v, value.len(), cas) })
}

/// Sets the period of the ticks of this root context.
pub fn set_tick_period(milliseconds: u32) -> Result<()> {
    check(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
}

/// The host's time, in milliseconds since 1970.
pub fn now_ms() -> Result<u64> {
    let mut now = 0_u64;
    check(unsafe { proxy_get_current_time_nanoseconds(&mut now) })?;
    Ok(now / 1_000_000)
}

/// A random number.
pub fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: WASI fills as many bytes as the length says.
    check(unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) })?;
    Ok(u64::from_le_bytes(bytes))
}

/// Makes that stream the target of the following calls in this callback.
pub fn act_on(context: u32) -> Result<()> {
    check(unsafe { proxy_set_effective_context(context) })
}

/// Continues a request that a callback has held.
pub fn resume_request() -> Result<()> {
    const REQUEST: u32 = 0;
    check(unsafe { proxy_continue_stream(REQUEST) })
}

/// Sends a local reply. `details` goes to Envoy's access log.
pub fn reply(
    status: u32,
    details: &str,
    headers: &[(&str, impl AsRef<str>)],
    body: &str,
) -> Result<()> {
    const NO_GRPC_STATUS: u32 = u32::MAX;
    let headers = serialize(headers);
    check(unsafe {
        proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    })
}

fn serialize(pairs: &[(&str, impl AsRef<str>)]) -> Vec<u8> {
    let number = |value: usize| (value as u32).to_le_bytes();
    let mut bytes = number(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend(number(name.len()));
        bytes.extend(number(value.as_ref().len()));
    }
    for (name, value) in pairs {
        bytes.extend([name, "\0", value.as_ref(), "\0"].concat().into_bytes());
    }
    bytes
}

fn check(status: u32) -> Result<()> {
    match status {
        0 => Ok(()),
        other => Err(other),
    }
}

/// Takes over a buffer that the host allocated in this module's memory.
fn owned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Vec<u8>> {
    let mut data = ptr::null_mut();
    let mut size = 0;
    check(call(&mut data, &mut size))?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: the host got `data` from `proxy_on_memory_allocate`, which makes a Vec with
    // exactly this capacity and forgets it.
    Ok(unsafe { Vec::from_raw_parts(data, size, size) })
}

// This is WASI's function. The standard library's would add the names and texts of all errors
// of an operating system to the module.
#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(data: *mut u8, size: usize) -> u32;
}

/// The address of a text.
type Text = *const u8;
/// The address at which the host stores a buffer's address; its length is stored separately.
type Data = *mut *mut u8;
type Size = *mut usize;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_buffer_bytes(kind: u32, start: usize, max: usize, to: Data, size: Size) -> u32;
    fn proxy_set_buffer_bytes(kind: u32, at: usize, old: usize, data: Text, size: usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, to: Data, size: Size) -> u32;
    fn proxy_get_header_map_value(map: u32, name: Text, len: usize, to: Data, size: Size) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        n: Text,
        n_len: usize,
        v: Text,
        v_len: usize,
    ) -> u32;
    fn proxy_add_header_map_value(map: u32, n: Text, n_len: usize, v: Text, v_len: usize) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: Text, len: usize) -> u32;
    fn proxy_get_property(path: Text, len: usize, to: Data, size: Size) -> u32;
    fn proxy_set_property(path: Text, len: usize, value: Text, value_len: usize) -> u32;
    fn proxy_get_shared_data(key: Text, len: usize, to: Data, size: Size, cas: *mut u32) -> u32;
    fn proxy_set_shared_data(key: Text, len: usize, v: Text, v_len: usize, cas: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: Text, len: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_get_current_time_nanoseconds(now: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_continue_stream(stream_type: u32) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: Text,
        details_len: usize,
        body: Text,
        body_len: usize,
        headers: Text,
        headers_len: usize,
        grpc_status: u32,
    ) -> u32;
}
