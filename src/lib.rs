//! The filter: Envoy's callbacks in, the core's actions out. The decisions are made in `core/`;
//! `docs/DESIGN.md` describes how the two work together.
#![cfg(target_arch = "wasm32")]

mod abi;
mod bodies;
mod envoy;
mod plugin;

use std::cell::RefCell;
use std::rc::Rc;

use oss_origin_auth_core::config::Config;
use oss_origin_auth_core::exchange::{Event, Exchange};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, LogLevel, MapType};

use bodies::Wanted;
use envoy::{Handle, Part};
use plugin::Plugin;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|root| Box::new(Root { root, plugin: Plugin::default() }));
}}

/// The root context: one for each worker thread and configuration.
struct Root {
    root: u32,
    plugin: Plugin,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _: usize, body_size: usize, _: usize) {
        let status = abi::header(MapType::HttpCallResponseHeaders, ":status").ok();
        let status = status.and_then(|status| std::str::from_utf8(&status).ok()?.parse().ok());
        self.plugin.on_callout(self.root, token, status, body_size);
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        let text = abi::buffer(BufferType::PluginConfiguration, usize::MAX).unwrap_or_default();
        let config = Config::parse(&text, |name| std::env::var(name).ok());
        let random = abi::random().map_err(|_| "the host gives no random numbers".to_owned());
        let configured = config
            .map_err(|error| error.to_string())
            .and_then(|config| {
                self.plugin.configure(config, random?);
                Ok(())
            });
        if let Err(problem) = &configured {
            log::error!("oss-origin-auth: configuration refused: {problem}");
        }
        configured.is_ok()
    }

    fn on_tick(&mut self) {
        self.plugin.on_tick(self.root);
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, stream: u32) -> Option<Box<dyn HttpContext>> {
        let plugin = self.plugin.clone();
        let exchange = Rc::new_cyclic(|exchange| {
            let exchange = exchange.clone();
            RefCell::new(Exchange::new(Handle { stream, exchange }))
        });
        Some(Box::new(Stream {
            plugin,
            exchange,
            body_wanted: None,
        }))
    }
}

/// Envoy has forgotten the configuration, and has no request that still has it.
impl Drop for Root {
    fn drop(&mut self) {
        self.plugin.end();
    }
}

/// The context of one attempt at a request.
struct Stream {
    plugin: Plugin,
    exchange: Rc<RefCell<Exchange<Handle>>>,
    /// Set from the response headers on, if the body is wanted.
    body_wanted: Option<Wanted>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        // A request without headers is refused.
        let headers = abi::header_map(MapType::HttpRequestHeaders).unwrap_or_default();
        let headers = abi::header_pairs(&headers);
        self.on(Event::RequestHeaders(&headers), MapType::HttpRequestHeaders)
    }

    fn on_http_request_body(&mut self, _: usize, _: bool) -> Action {
        self.on(Event::RequestRest, MapType::HttpRequestHeaders)
    }

    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        self.on(Event::RequestRest, MapType::HttpRequestTrailers)
    }

    // No response is ever held: Envoy may delete the stream meanwhile, and resuming it would
    // then end the process or the VM.
    fn on_http_response_headers(&mut self, _: usize, last: bool) -> Action {
        let response = &Part(MapType::HttpResponseHeaders);
        let event = Event::ResponseHeaders { response, last };
        let action = self.on(event, MapType::HttpResponseHeaders);
        let wanted = self.exchange.try_borrow().is_ok_and(|e| e.wants_body());
        self.body_wanted = wanted.then(Wanted::new);
        action
    }

    fn on_http_response_body(&mut self, _: usize, last: bool) -> Action {
        let response = &Part(MapType::HttpResponseHeaders);
        self.on(
            Event::ResponseBody { response, last },
            MapType::HttpResponseHeaders,
        )
    }

    fn on_http_response_trailers(&mut self, _: usize) -> Action {
        let trailers = MapType::HttpResponseTrailers;
        self.on(Event::ResponseTrailers(&Part(trailers)), trailers)
    }
}

impl Stream {
    fn on(&self, event: Event, part: MapType) -> Action {
        self.plugin.on(&self.exchange, event, part)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.plugin.on_gone(&self.exchange);
    }
}
