//! The hooks that Envoy calls. Each of our pointers that Envoy passes back is checked for null:
//! Envoy 1.38 and 1.39 call one hook for a filter that they have not created (envoyproxy/envoy
//! issue 47544). Panics are caught here.

use std::ffi::{c_char, c_void};
use std::ptr::{self, NonNull};
use std::rc::Rc;
use std::slice;
use std::sync::Arc;

use log::Level;

use crate::abi::{self, Buffer, Configuration, EnvoyHeader, Filter, VERSION};
use crate::configuration;
use crate::fault::guarded;
use crate::instance::Reply;
use crate::module::Module;
use crate::stream::{Stream, Verdict};

type Pointer = *mut c_void;
/// A pointer to a [`Module`] in an [`Arc`], or to a [`Stream`] in an [`Rc`].
type Ours = *const c_void;

/// The result of a request hook: continue. The constants are the ABI's numbers.
const CONTINUE: u32 = 0;
/// The result of a headers hook: hold the headers (`StopIteration`). After a local reply
/// nothing follows.
const STOP_HEADERS: u32 = 1;
/// The result of a headers hook: hold the headers and everything after them
/// (`StopAllIterationAndWatermark`).
const STOP_ALL: u32 = 4;
/// The result of a body hook: hold the piece (`StopIterationAndWatermark`).
const STOP_BODY: u32 = 2;
/// The result of a body hook: drop the piece (`StopIterationNoBuffer`).
const DROP_BODY: u32 = 3;
/// The result of a trailers hook: hold the trailers (`StopIteration`).
const STOP_TRAILERS: u32 = 1;

/// Envoy has loaded the module.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    VERSION.as_ptr()
}

/// Envoy has loaded a configuration, on the main thread; the result null refuses it.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    config: Pointer,
    name: Buffer,
    text: Buffer,
) -> Ours {
    guarded(ptr::null(), || {
        let Some(config) = NonNull::new(config) else {
            return ptr::null();
        };
        // SAFETY: Envoy's buffers are valid until this hook ends.
        let (name, text) = unsafe { (name.lend(), text.lend()) };
        match configuration::take(Configuration(config), name, text) {
            Some(module) => Arc::into_raw(module).cast(),
            None => ptr::null(),
        }
    })
}

/// Envoy has destroyed a configuration, on any thread.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(module: Ours) {
    guarded((), || {
        if !module.is_null() {
            // SAFETY: `config_new` has returned this pointer, and Envoy gives it back once.
            configuration::end(&unsafe { Arc::from_raw(module.cast::<Module>()) });
        }
    });
}

/// Envoy has loaded a configuration of a single route, which this module does not support.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    _name: Buffer,
    _text: Buffer,
) -> Ours {
    abi::log(
        Level::Error,
        "oss-origin-auth: configuration refused: the module has no per-route configuration; name \
         the route under `routes` of the filter's settings, or write settings into the route's \
         metadata",
    );
    ptr::null()
}

/// Envoy has created a stream, on the stream's thread.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(
    module: Ours,
    filter: Pointer,
) -> Ours {
    guarded(ptr::null(), || {
        // SAFETY: as in `with_module`.
        match (unsafe { module_of(module) }, NonNull::new(filter)) {
            (Some(module), Some(filter)) => {
                Rc::into_raw(Stream::new(&module, Filter(filter))).cast()
            }
            _ => ptr::null(),
        }
    })
}

/// Envoy has destroyed a stream.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(stream: Ours) {
    guarded((), || {
        if !stream.is_null() {
            // SAFETY: `filter_new` has returned this pointer, and Envoy gives it back once.
            unsafe { Rc::from_raw(stream.cast::<Stream>()) }.end();
            #[cfg(feature = "planted-use-after-free")]
            // SAFETY: none; the memory has been freed.
            unsafe {
                stream.cast::<u8>().read_volatile();
            }
        }
    });
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    _filter: Pointer,
    stream: Ours,
    _last: bool,
) -> u32 {
    // SAFETY: Envoy passes the pointer that it was given.
    let verdict = unsafe { on_request(stream, Stream::on_request_headers) };
    match verdict {
        Verdict::Continue => CONTINUE,
        Verdict::Hold => STOP_ALL,
        Verdict::Answered => STOP_HEADERS,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_body(
    _filter: Pointer,
    stream: Ours,
    _last: bool,
) -> u32 {
    // SAFETY: Envoy passes the pointer that it was given.
    let verdict = unsafe { on_request(stream, Stream::on_request_rest) };
    match verdict {
        Verdict::Continue => CONTINUE,
        Verdict::Hold => STOP_BODY,
        Verdict::Answered => DROP_BODY,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(
    _filter: Pointer,
    stream: Ours,
) -> u32 {
    // SAFETY: Envoy passes the pointer that it was given.
    let verdict = unsafe { on_request(stream, Stream::on_request_rest) };
    match verdict {
        Verdict::Continue => CONTINUE,
        Verdict::Hold | Verdict::Answered => STOP_TRAILERS,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    _filter: Pointer,
    stream: Ours,
    last: bool,
) -> u32 {
    // SAFETY: Envoy passes the pointer that it was given.
    unsafe { on_stream(stream, |stream| stream.on_response_headers(last)) };
    CONTINUE
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    _filter: Pointer,
    stream: Ours,
    last: bool,
) -> u32 {
    // SAFETY: Envoy passes the pointer that it was given.
    unsafe { on_stream(stream, |stream| stream.on_response_body(last)) };
    CONTINUE
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    _filter: Pointer,
    stream: Ours,
) -> u32 {
    // SAFETY: Envoy passes the pointer that it was given.
    unsafe { on_stream(stream, Stream::on_response_trailers) };
    CONTINUE
}

/// A stream is complete; Envoy writes its access log next.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
    _filter: Pointer,
    stream: Ours,
) {
    // SAFETY: Envoy passes the pointer that it was given.
    unsafe { on_stream(stream, Stream::on_complete) };
}

/// The waker of a stream has called, on the stream's thread.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    _filter: Pointer,
    stream: Ours,
    _event: u64,
) {
    // SAFETY: Envoy passes the pointer that it was given.
    unsafe { on_stream(stream, Stream::on_scheduled) };
}

/// The waker of a configuration has called, on the main thread.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    config: Pointer,
    module: Ours,
    _event: u64,
) {
    // SAFETY: Envoy passes the pointer that it was given.
    unsafe { on_module(config, module, configuration::on_tick) };
}

/// A callout was answered or has failed, on the main thread.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_http_callout_done(
    config: Pointer,
    module: Ours,
    id: u64,
    result: u32,
    headers: *const EnvoyHeader,
    headers_count: usize,
    body: *const Buffer,
    body_count: usize,
) {
    const SUCCESS: u32 = 0;
    // SAFETY: Envoy passes the pointer that it was given. Headers and body are Envoy's, and are
    // valid until this hook ends.
    unsafe {
        on_module(config, module, |module, config| {
            let headers = list(headers, headers_count);
            let status = headers
                .iter()
                .find(|header| header.name.lend() == b":status");
            let body: Vec<&[u8]> = list(body, body_count)
                .iter()
                .map(|piece| piece.lend())
                .collect();
            let reply = status.filter(|_| result == SUCCESS).map(|status| Reply {
                status: status.value.lend(),
                body: &body,
            });
            configuration::on_callout(module, config, id, reply);
        });
    }
}

/// Runs a request hook. The request is not forwarded if anything is wrong.
///
/// # Safety
///
/// `stream` must be null, or a result of `filter_new` that has not been destroyed.
unsafe fn on_request(stream: Ours, act: impl FnOnce(&Rc<Stream>) -> Verdict) -> Verdict {
    // SAFETY: as the caller promises.
    let Some(stream) = (unsafe { stream_of(stream) }) else {
        return Verdict::Answered;
    };
    match guarded(None, || Some(act(&stream))) {
        Some(verdict) => verdict,
        None => guarded(Verdict::Answered, || stream.on_fault()),
    }
}

/// Runs a hook of a stream.
///
/// # Safety
///
/// `stream` must be null, or a result of `filter_new` that has not been destroyed.
unsafe fn on_stream(stream: Ours, act: impl FnOnce(&Rc<Stream>)) {
    // SAFETY: as the caller promises.
    if let Some(stream) = unsafe { stream_of(stream) } {
        guarded((), || act(&stream));
    }
}

/// Runs a hook of a configuration, on the main thread.
///
/// # Safety
///
/// `module` must be null, or a result of `config_new` that has not been destroyed.
unsafe fn on_module(config: Pointer, module: Ours, act: impl FnOnce(&Arc<Module>, Configuration)) {
    // SAFETY: as the caller promises.
    if let (Some(module), Some(config)) = (unsafe { module_of(module) }, NonNull::new(config)) {
        guarded((), || act(&module, Configuration(config)));
    }
}

/// A new reference to a stream: the stream may be destroyed before the hook ends, as by a local
/// reply.
///
/// # Safety
///
/// `stream` must be null, or a result of `filter_new` that has not been destroyed.
unsafe fn stream_of(stream: Ours) -> Option<Rc<Stream>> {
    let stream = NonNull::new(stream.cast_mut())?.cast::<Stream>().as_ptr();
    // SAFETY: as the caller promises; Envoy calls all hooks of a stream on one thread.
    unsafe {
        Rc::increment_strong_count(stream);
        Some(Rc::from_raw(stream))
    }
}

/// A new reference to a module.
///
/// # Safety
///
/// `module` must be null, or a result of `config_new` that has not been destroyed.
unsafe fn module_of(module: Ours) -> Option<Arc<Module>> {
    let module = NonNull::new(module.cast_mut())?.cast::<Module>().as_ptr();
    // SAFETY: as the caller promises.
    unsafe {
        Arc::increment_strong_count(module);
        Some(Arc::from_raw(module))
    }
}

/// The slice of an array of Envoy's; empty if the pointer is null.
///
/// # Safety
///
/// If it is not null, `first` must point to `count` elements that are valid for `'a`.
unsafe fn list<'a, T>(first: *const T, count: usize) -> &'a [T] {
    match first.is_null() {
        true => &[],
        // SAFETY: as the caller promises.
        false => unsafe { slice::from_raw_parts(first, count) },
    }
}

/// Declares hooks that Envoy requires, and for which there is nothing to do.
macro_rules! unused {
    ($($name:ident($($type:ty),*);)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name($(_: $type),*) {}
        )*
    };
}

unused! {
    envoy_dynamic_module_on_http_filter_per_route_config_destroy(Ours);
    envoy_dynamic_module_on_http_filter_http_callout_done(
        Pointer, Ours, u64, u32, *const EnvoyHeader, usize, *const Buffer, usize);
    envoy_dynamic_module_on_http_filter_http_stream_headers(
        Pointer, Ours, u64, *const EnvoyHeader, usize, bool);
    envoy_dynamic_module_on_http_filter_http_stream_data(
        Pointer, Ours, u64, *const Buffer, usize, bool);
    envoy_dynamic_module_on_http_filter_http_stream_trailers(
        Pointer, Ours, u64, *const EnvoyHeader, usize);
    envoy_dynamic_module_on_http_filter_http_stream_complete(Pointer, Ours, u64);
    envoy_dynamic_module_on_http_filter_http_stream_reset(Pointer, Ours, u64, u32);
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
        Pointer, Ours);
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
        Pointer, Ours);
}
