//! Closed sets whose members have a word that programs read: in a setting, a header or a
//! statistic. The compiler knows all members, and so do the tests of the documents.

/// A member of a closed set; the first one is the default.
pub trait Word: Copy + Default + PartialEq + 'static {
    /// All members, in the order of their declaration.
    const ALL: &'static [Self];
    /// The words of [`Word::ALL`], in the same order.
    const WORDS: &'static [&'static str];

    /// The word of this member.
    fn word(self) -> &'static str;

    /// The member with this word.
    fn of(word: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|member| member.word() == word)
    }
}

/// Declares an enum and its words.
macro_rules! words {
    ($(#[$about:meta])* pub enum $name:ident {
        $(#[$first_meaning:meta])* $first:ident = $first_word:literal,
        $($(#[$meaning:meta])* $member:ident = $word:literal,)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $(#[$first_meaning])* $first,
            $($(#[$meaning])* $member,)*
        }

        impl Default for $name {
            /// The first member.
            fn default() -> $name {
                $name::$first
            }
        }

        impl $crate::words::Word for $name {
            const ALL: &'static [$name] = &[$name::$first, $($name::$member,)*];
            const WORDS: &'static [&'static str] = &[$first_word, $($word,)*];

            fn word(self) -> &'static str {
                match self {
                    $name::$first => $first_word,
                    $($name::$member => $word,)*
                }
            }
        }
    };
}

pub(crate) use words;

#[cfg(test)]
mod tests {
    use super::*;

    words! {
        /// An enum with two members.
        pub enum Two {
            /// The first member.
            First = "first",
            /// The second member.
            Second = "second",
        }
    }

    #[test]
    fn a_word_leads_to_its_member_and_back() {
        assert_eq!(Two::of("second"), Some(Two::Second));
        assert_eq!(Two::of("third"), None);
        assert!(
            Two::ALL
                .iter()
                .map(|two| two.word())
                .eq(Two::WORDS.iter().copied())
        );
    }
}
