//! What a dynamic module costs before it does anything: every hook that Envoy looks for is
//! there, and none calls Envoy.

use std::ffi::{CStr, c_char, c_void};

/// The version of Envoy's ABI that this is written for.
const VERSION: &CStr = c"v0.2.0";

/// A configuration or a stream, Envoy's or ours.
type Pointer = *const c_void;

/// `envoy_dynamic_module_type_envoy_buffer`
#[repr(C)]
struct Buffer {
    data: *const u8,
    length: usize,
}

/// What stands for a configuration and for a stream: null would be an error.
static SOMETHING: u8 = 0;

/// What a hook for headers, a body or trailers returns: they go on.
const CONTINUE: u32 = 0;

/// Hooks that return the same whatever they are given.
macro_rules! hooks {
    ($($name:ident($($type:ty),*) -> $returns:ty = $value:expr;)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $name($(_: $type),*) -> $returns {
                $value
            }
        )*
    };
}

hooks! {
    envoy_dynamic_module_on_program_init() -> *const c_char = VERSION.as_ptr();
    envoy_dynamic_module_on_http_filter_config_new(Pointer, Buffer, Buffer) -> Pointer
        = (&raw const SOMETHING).cast();
    envoy_dynamic_module_on_http_filter_config_destroy(Pointer) -> () = ();
    envoy_dynamic_module_on_http_filter_per_route_config_new(Buffer, Buffer) -> Pointer
        = (&raw const SOMETHING).cast();
    envoy_dynamic_module_on_http_filter_per_route_config_destroy(Pointer) -> () = ();
    envoy_dynamic_module_on_http_filter_new(Pointer, Pointer) -> Pointer
        = (&raw const SOMETHING).cast();
    envoy_dynamic_module_on_http_filter_destroy(Pointer) -> () = ();
    envoy_dynamic_module_on_http_filter_request_headers(Pointer, Pointer, bool) -> u32
        = CONTINUE;
    envoy_dynamic_module_on_http_filter_request_body(Pointer, Pointer, bool) -> u32 = CONTINUE;
    envoy_dynamic_module_on_http_filter_request_trailers(Pointer, Pointer) -> u32 = CONTINUE;
    envoy_dynamic_module_on_http_filter_response_headers(Pointer, Pointer, bool) -> u32
        = CONTINUE;
    envoy_dynamic_module_on_http_filter_response_body(Pointer, Pointer, bool) -> u32 = CONTINUE;
    envoy_dynamic_module_on_http_filter_response_trailers(Pointer, Pointer) -> u32 = CONTINUE;
    envoy_dynamic_module_on_http_filter_stream_complete(Pointer, Pointer) -> () = ();
    envoy_dynamic_module_on_http_filter_scheduled(Pointer, Pointer, u64) -> () = ();
    envoy_dynamic_module_on_http_filter_config_scheduled(Pointer, Pointer, u64) -> () = ();
    envoy_dynamic_module_on_http_filter_config_http_callout_done(
        Pointer, Pointer, u64, u32, Pointer, usize, Pointer, usize) -> () = ();
    envoy_dynamic_module_on_http_filter_http_callout_done(
        Pointer, Pointer, u64, u32, Pointer, usize, Pointer, usize) -> () = ();
    envoy_dynamic_module_on_http_filter_http_stream_headers(
        Pointer, Pointer, u64, Pointer, usize, bool) -> () = ();
    envoy_dynamic_module_on_http_filter_http_stream_data(
        Pointer, Pointer, u64, Pointer, usize, bool) -> () = ();
    envoy_dynamic_module_on_http_filter_http_stream_trailers(
        Pointer, Pointer, u64, Pointer, usize) -> () = ();
    envoy_dynamic_module_on_http_filter_http_stream_complete(Pointer, Pointer, u64) -> () = ();
    envoy_dynamic_module_on_http_filter_http_stream_reset(Pointer, Pointer, u64, u32) -> () = ();
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
        Pointer, Pointer) -> () = ();
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
        Pointer, Pointer) -> () = ();
}
