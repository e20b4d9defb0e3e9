//! The settings that are one of a few words.

use crate::words::words;

words! {
    /// `signature_version`: the signature versions of OSS.
    pub enum SignatureVersion {
        /// For buckets of every age.
        V4 = "v4",
        /// For buckets from before September 2025.
        V1 = "v1",
    }
}

words! {
    /// `methods`: what a route may let pass.
    pub enum Method {
        /// Reads.
        Get = "GET",
        /// Reads the headers.
        Head = "HEAD",
        /// Writes an object.
        Put = "PUT",
        /// Writes by a form, or is one of several operations.
        Post = "POST",
        /// Deletes.
        Delete = "DELETE",
        /// Asks for what CORS allows.
        Options = "OPTIONS",
    }
}

impl Method {
    /// What a route lets pass where it does not say.
    pub const DEFAULT: [Method; 2] = [Method::Get, Method::Head];

    /// Whether it changes something.
    pub fn is_write(self) -> bool {
        matches!(self, Method::Put | Method::Post | Method::Delete)
    }

    /// Whether it reads an object.
    pub fn is_read(self) -> bool {
        matches!(self, Method::Get | Method::Head)
    }
}

words! {
    /// `unknown_parameters`: for parameters that OSS gives no meaning.
    pub enum UnknownParameters {
        /// They are dropped.
        Strip = "strip",
        /// They leave.
        Forward = "forward",
    }
}

words! {
    /// `presigned_urls`: for a client's URL that carries a signature of its own.
    pub enum PresignedUrls {
        /// The request is refused.
        Refuse = "refuse",
        /// Its signature is dropped, and the request signed like any other.
        Strip = "strip",
        /// The request leaves as it is, unsigned.
        Pass = "pass",
        /// As `pass`; and a request without a signed URL is refused.
        Require = "require",
    }
}

words! {
    /// `dot_segments`: for `.` and `..` in a path.
    pub enum DotSegments {
        /// They are part of the key.
        Literal = "literal",
        /// The request is refused.
        Refuse = "refuse",
    }
}

words! {
    /// `path_encoding`: which spellings of a path are let in.
    pub enum PathEncoding {
        /// Every one.
        Any = "any",
        /// The canonical one alone.
        Canonical = "canonical",
    }
}

words! {
    /// `addressing`: where the bucket stands in a request to `endpoint`.
    pub enum Addressing {
        /// In the host.
        VirtualHosted = "virtual_hosted",
        /// In the path.
        PathStyle = "path_style",
        /// Nowhere: the endpoint is the bucket's own domain.
        Cname = "cname",
    }
}

words! {
    /// `ranges`: what becomes of a range that reaches past the end.
    pub enum Ranges {
        /// What HTTP says: what there is of it, or 416.
        Standard = "standard",
        /// What OSS does by itself: the whole object.
        Oss = "oss",
    }
}

words! {
    /// `forced_download`: what becomes of the mark by which OSS has an object downloaded
    /// instead of shown.
    pub enum ForcedDownload {
        /// It stays.
        Keep = "keep",
        /// Clients do not see it.
        Remove = "remove",
    }
}

words! {
    /// `errors`: what a client sees of an error.
    pub enum Errors {
        /// Nothing that names the origin.
        Neutral = "neutral",
        /// What OSS sent, but for what it repeats of the request.
        Oss = "oss",
    }
}

words! {
    /// `metadata`: of what settings are read besides.
    pub enum MetadataOf {
        /// Envoy's route.
        Route = "route",
        /// Envoy's cluster.
        Cluster = "cluster",
    }
}
