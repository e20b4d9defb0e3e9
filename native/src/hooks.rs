//! What Envoy calls. A pointer of ours that it gives back is checked for null: Envoy 1.38 and
//! 1.39 have one called for a filter that they have not made (envoyproxy/envoy issue 47544).
//! A panic ends here.

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
/// A [`Module`] of an [`Arc`], or a [`Stream`] of an [`Rc`].
type Ours = *const c_void;

/// What a hook for a request's headers, its body or its trailers returns: the names of the
/// ABI's numbers.
const CONTINUE: u32 = 0;
/// The headers are held: `StopIteration`. With a local reply nothing more comes.
const STOP_HEADERS: u32 = 1;
/// The headers are held, and so is what follows them: `StopAllIterationAndWatermark`.
const STOP_ALL: u32 = 4;
/// A piece of a body is held: `StopIterationAndWatermark`.
const STOP_BODY: u32 = 2;
/// A piece of a body is dropped: `StopIterationNoBuffer`.
const DROP_BODY: u32 = 3;
/// Trailers are held: `StopIteration`.
const STOP_TRAILERS: u32 = 1;

/// Envoy has loaded the module.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const c_char {
    VERSION.as_ptr()
}

/// A configuration, on the main thread; null refuses it.
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
        // SAFETY: Envoy's buffers live as long as this hook.
        let (name, text) = unsafe { (name.lend(), text.lend()) };
        match configuration::take(Configuration(config), name, text) {
            Some(module) => Arc::into_raw(module).cast(),
            None => ptr::null(),
        }
    })
}

/// The configuration is gone, on any thread.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(module: Ours) {
    guarded((), || {
        if !module.is_null() {
            // SAFETY: it is what `config_new` has given away, which Envoy gives back once.
            configuration::end(&unsafe { Arc::from_raw(module.cast::<Module>()) });
        }
    });
}

/// A configuration of a route: there is none.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    _name: Buffer,
    _text: Buffer,
) -> Ours {
    abi::log(
        Level::Error,
        "oss-origin-auth: configuration refused: there is none for a single route here; name the \
         route under `routes` of the filter's settings, or put settings into its metadata",
    );
    ptr::null()
}

/// A stream, on its thread.
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

/// The stream is gone.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(stream: Ours) {
    guarded((), || {
        if !stream.is_null() {
            // SAFETY: it is what `filter_new` has given away, which Envoy gives back once.
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
    // SAFETY: Envoy gives what it was given.
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
    // SAFETY: Envoy gives what it was given.
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
    // SAFETY: Envoy gives what it was given.
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
    // SAFETY: Envoy gives what it was given.
    unsafe { on_stream(stream, |stream| stream.on_response_headers(last)) };
    CONTINUE
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    _filter: Pointer,
    stream: Ours,
    last: bool,
) -> u32 {
    // SAFETY: Envoy gives what it was given.
    unsafe { on_stream(stream, |stream| stream.on_response_body(last)) };
    CONTINUE
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(
    _filter: Pointer,
    stream: Ours,
) -> u32 {
    // SAFETY: Envoy gives what it was given.
    unsafe { on_stream(stream, Stream::on_response_trailers) };
    CONTINUE
}

/// The stream is complete; its access log is written next.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
    _filter: Pointer,
    stream: Ours,
) {
    // SAFETY: Envoy gives what it was given.
    unsafe { on_stream(stream, Stream::on_complete) };
}

/// What a waker of a stream has asked for, on the stream's thread.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    _filter: Pointer,
    stream: Ours,
    _event: u64,
) {
    // SAFETY: Envoy gives what it was given.
    unsafe { on_stream(stream, Stream::on_scheduled) };
}

/// What the waker of a configuration has asked for, on the main thread.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    config: Pointer,
    module: Ours,
    _event: u64,
) {
    // SAFETY: Envoy gives what it was given.
    unsafe { on_module(config, module, configuration::on_tick) };
}

/// The answer to a callout, on the main thread.
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
    // SAFETY: Envoy gives what it was given. Headers and body are Envoy's, and live as long as
    // this hook.
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

/// A hook of a request, which does not leave if anything is wrong.
///
/// # Safety
///
/// `stream` is null or what `filter_new` has returned, and has not been destroyed.
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

/// A hook of a stream.
///
/// # Safety
///
/// As of [`on_request`].
unsafe fn on_stream(stream: Ours, act: impl FnOnce(&Rc<Stream>)) {
    // SAFETY: as the caller promises.
    if let Some(stream) = unsafe { stream_of(stream) } {
        guarded((), || act(&stream));
    }
}

/// A hook of a configuration on the main thread.
///
/// # Safety
///
/// `module` is null or what `config_new` has returned, and has not been destroyed.
unsafe fn on_module(config: Pointer, module: Ours, act: impl FnOnce(&Arc<Module>, Configuration)) {
    // SAFETY: as the caller promises.
    if let (Some(module), Some(config)) = (unsafe { module_of(module) }, NonNull::new(config)) {
        guarded((), || act(&module, Configuration(config)));
    }
}

/// A handle of its own: the stream may be destroyed before the hook is over, as by a local
/// reply.
///
/// # Safety
///
/// As of [`on_request`].
unsafe fn stream_of(stream: Ours) -> Option<Rc<Stream>> {
    let stream = NonNull::new(stream.cast_mut())?.cast::<Stream>().as_ptr();
    // SAFETY: as the caller promises; Envoy calls all hooks of a stream on one thread.
    unsafe {
        Rc::increment_strong_count(stream);
        Some(Rc::from_raw(stream))
    }
}

/// A handle of its own.
///
/// # Safety
///
/// As of [`on_module`].
unsafe fn module_of(module: Ours) -> Option<Arc<Module>> {
    let module = NonNull::new(module.cast_mut())?.cast::<Module>().as_ptr();
    // SAFETY: as the caller promises.
    unsafe {
        Arc::increment_strong_count(module);
        Some(Arc::from_raw(module))
    }
}

/// # Safety
///
/// If it is not null, so many things are there, for as long as `'a`.
unsafe fn list<'a, T>(first: *const T, count: usize) -> &'a [T] {
    match first.is_null() {
        true => &[],
        // SAFETY: as the caller promises.
        false => unsafe { slice::from_raw_parts(first, count) },
    }
}

/// Hooks that must be there, and for which there is nothing to do.
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
