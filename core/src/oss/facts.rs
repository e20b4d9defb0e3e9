//! The parts of a row in the table of causes, and the macro that reads the table of
//! [`super::causes`].

use crate::words::words;

words! {
    /// The rule of `deploy/prometheus/alerts.yml` to which a cause belongs.
    pub enum Alert {
        /// A client's own mistake: it is counted, but not logged.
        None = "none",
        /// The operator must change something.
        Refuses = "OssRefuses",
        /// A limit of OSS is exceeded.
        Throttled = "OssThrottled",
        /// OSS fails, or a service behind it.
        Fails = "OssFails",
    }
}

/// The facts by which a cause is recognized, for documents and tests. A `*` at the beginning or
/// end of a code or an EC stands for any text.
#[derive(Debug)]
pub struct Facts {
    /// The statuses that OSS sends with this cause.
    pub statuses: &'static [u16],
    /// The codes that mean this cause, unless another cause that shares the code applies.
    pub codes: &'static [&'static str],
    /// The codes that mean this cause if one of the texts or ECs is present, too.
    pub shared: &'static [&'static str],
    /// Parts of the message that select this cause if its code is shared.
    pub texts: &'static [&'static str],
    /// The ECs that mean this cause.
    pub ecs: &'static [&'static str],
}

/// Declares the causes and how they are recognized. Facts that a program does not use, such as
/// those for documents, are not linked into it.
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
            /// What the cause means.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Cause::$name => concat!($($meaning),+).trim_ascii_start(),)*
                }
            }

            /// The fix: what the operator should do.
            pub fn fix(self) -> &'static str {
                match self {
                    $(Cause::$name => $fix,)*
                }
            }

            /// The facts by which the cause is recognized.
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

            /// The consequence for the credentials.
            pub fn verdict(self) -> Verdict {
                match self {
                    $(Cause::$name => verdict!($verdict, $name),)*
                }
            }

            /// The alert to which the cause belongs.
            pub fn alert(self) -> Alert {
                match self {
                    $(Cause::$name => Alert::$alert,)*
                }
            }
        }

        /// The statuses that have one meaning only, whatever their EC. (A 404 does not: see
        /// [`super::error::diagnose`].)
        pub(super) const DECISIVE: &[(u16, Cause)] = &[$($($(($decisive, Cause::$name),)+)?)*];
        pub(super) const CODES: Known = &[$($($(($code, Cause::$name),)+)?)*];
        pub(super) const SHARED: Known = &[$($($(($shared, Cause::$name),)+)?)*];
        pub(super) const TEXTS: Known = &[$($($(($text, Cause::$name),)+)?)*];
        pub(super) const ECS: Known = &[$($($(($ec, Cause::$name),)+)?)*];
    };
}

/// Converts the `credentials` word of a row to a verdict.
macro_rules! verdict {
    (Rejected, $cause:ident) => {
        Verdict::Rejected(Cause::$cause)
    };
    ($verdict:ident, $cause:ident) => {
        Verdict::$verdict
    };
}

pub(super) use {causes, verdict};
