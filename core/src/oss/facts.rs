//! How a cause is written down: what it is known by, what alerts, and the macro that reads the
//! table of [`super::causes`].

use crate::words::words;

words! {
    /// The rule of `deploy/prometheus/alerts.yml` that a cause belongs to.
    pub enum Alert {
        /// It is a client's own doing: it is counted, and not logged.
        None = "none",
        /// The operator must change something.
        Refuses = "OssRefuses",
        /// OSS's limits are reached.
        Throttled = "OssThrottled",
        /// OSS, or what is behind it, fails.
        Fails = "OssFails",
    }
}

/// By what an error is known, for people. A `*` at the begin or end of a code or an EC stands
/// for whatever is there.
#[derive(Debug)]
pub struct Facts {
    /// The statuses that OSS sends.
    pub statuses: &'static [u16],
    /// Codes that mean this unless another cause, which shares one, is meant.
    pub codes: &'static [&'static str],
    /// Codes that mean this if one of the texts or ECs is there, too.
    pub shared: &'static [&'static str],
    /// Parts of a message by which one of the shared codes means this.
    pub texts: &'static [&'static str],
    /// The ECs.
    pub ecs: &'static [&'static str],
}

/// Declares the causes, and what leads to them. What a program does not ask for (the facts for
/// people, say) is no part of it.
macro_rules! causes {
    ($(
        $(#[doc = $meaning:literal])+
        $name:ident = $word:literal {
            statuses: [$($status:literal),*],
            $(decisive: [$($decisive:literal),+],)?
            $(codes: [$($code:literal),+ $(,)?],)?
            $(shared: [$($shared:literal),+],)?
            $(texts: [$($text:literal),+],)?
            $(ecs: [$($ec:literal),+ $(,)?],)?
            credentials: $verdict:ident, alert: $alert:ident,
            fix: $fix:literal,
        }
    )*) => {
        words! {
            /// The known causes of an error. Each has its own fix.
            pub enum Cause {
                $($(#[doc = $meaning])+ $name = $word,)*
            }
        }

        impl Cause {
            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Cause::$name => concat!($($meaning),+).trim_ascii_start(),)*
                }
            }

            /// What an operator should do.
            pub fn fix(self) -> &'static str {
                match self {
                    $(Cause::$name => $fix,)*
                }
            }

            /// By what it is known.
            pub fn facts(self) -> &'static Facts {
                match self {
                    $(Cause::$name => &Facts {
                        statuses: &[$($status),*],
                        codes: &[$($($code),+)?],
                        shared: &[$($($shared),+)?],
                        texts: &[$($($text),+)?],
                        ecs: &[$($($ec),+)?],
                    },)*
                }
            }

            /// What it says of the credentials.
            pub fn verdict(self) -> Verdict {
                match self {
                    $(Cause::$name => verdict!($verdict, $name),)*
                }
            }

            /// The alert that it belongs to.
            pub fn alert(self) -> Alert {
                match self {
                    $(Cause::$name => Alert::$alert,)*
                }
            }
        }

        /// Statuses that mean one thing alone, whatever EC comes with them. (404 alone is less:
        /// see [`super::error::diagnose`].)
        pub(super) const DECISIVE: &[(u16, Cause)] = &[$($($(($decisive, Cause::$name),)+)?)*];
        pub(super) const CODES: Known = &[$($($(($code, Cause::$name),)+)?)*];
        pub(super) const SHARED: Known = &[$($($(($shared, Cause::$name),)+)?)*];
        pub(super) const TEXTS: Known = &[$($($(($text, Cause::$name),)+)?)*];
        pub(super) const ECS: Known = &[$($($(($ec, Cause::$name),)+)?)*];
    };
}

/// What a row says of the credentials.
macro_rules! verdict {
    (Rejected, $cause:ident) => {
        Verdict::Rejected(Cause::$cause)
    };
    ($verdict:ident, $cause:ident) => {
        Verdict::$verdict
    };
}

pub(super) use {causes, verdict};
