//! What went wrong, in words that an admin can act on, and whether waiting can cure it.

use std::error::Error;
use std::fmt;

use etcd_client::Error as EtcdError;
use mutex_core::backend::Failure;

use crate::member::Member;
use crate::tls::Tls;

/// Why a member did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The same for all members: there is no use in asking another.
    for_all: bool,
    /// Waiting cannot cure it.
    lasts: bool,
    origin: Origin,
    cause: String,
    remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Anything else.
    Etcd,
    HungUp,
    /// The member's TLS refuses us.
    Alert,
}

/// What a refusal depends on beside its own words.
pub(crate) struct About<'a> {
    pub(crate) user: Option<&'a str>,
    /// What the lock's keys begin with.
    pub(crate) prefix: &'a str,
    pub(crate) tls: &'a Tls,
    pub(crate) is_https: bool,
    /// Whether this member has ever answered: then its URL is right.
    pub(crate) has_answered: bool,
}

/// gRPC's code of a service that the server does not have.
const UNIMPLEMENTED: i32 = 12;

/// TLS alerts about our certificate, in rustls' words.
const ABOUT_CERTIFICATES: [&str; 9] = [
    "BadCertificate",
    "CertificateRequired",
    "CertificateExpired",
    "CertificateUnknown",
    "CertificateRevoked",
    "UnsupportedCertificate",
    "UnknownCA",
    "AccessDenied",
    "DecryptError",
];

const SEE_MEMBERS: &str = "see the members (`etcdctl endpoint status --cluster`) and the network to them";
/// What to do about members of different clusters.
const ONE_CLUSTER: &str =
    "name the members of one cluster; one that was set up anew has to join it (`etcdctl member add`)";
const SEE_USER: &str = "see --user, ETCDCTL_PASSWORD and the file of --config";
const SEE_URL: &str = "see the scheme and the port in --endpoints";
const SEE_TLS: &str = "see --cacert, --cert, --key, --server-name, and the certificates' dates";

impl Refusal {
    /// That waiting may cure.
    pub(crate) fn passing(cause: impl fmt::Display) -> Self {
        let (cause, remedy) = (cause.to_string(), SEE_MEMBERS.to_owned());
        Self { for_all: false, lasts: false, origin: Origin::Etcd, cause, remedy }
    }

    /// That waiting cannot cure.
    pub(crate) fn lasting(cause: impl fmt::Display, remedy: &str) -> Self {
        Self { lasts: true, remedy: remedy.to_owned(), ..Self::passing(cause) }
    }

    /// The same, and no other member would say anything else.
    pub(crate) fn for_all(cause: impl fmt::Display, remedy: &str) -> Self {
        Self { for_all: true, ..Self::lasting(cause, remedy) }
    }

    /// No refusal, but for where the clusters differ.
    pub(crate) fn of_cluster(cluster: u64) -> Self {
        Self::passing(format!("it is of the etcd cluster {cluster:x}"))
    }

    /// Of a member of another cluster than ours.
    pub(crate) fn foreign(found: u64, ours: u64) -> Self {
        Self::lasting(format!("it is of another etcd cluster ({found:x}) than the others ({ours:x})"), ONE_CLUSTER)
    }

    pub(crate) fn is_for_all(&self) -> bool {
        self.for_all
    }

    pub(crate) fn is_alert(&self) -> bool {
        self.origin == Origin::Alert
    }

    /// It ended a connection that it had accepted, without a word.
    pub(crate) fn has_hung_up(&self) -> bool {
        self.origin == Origin::HungUp
    }

    /// From what the client says. By etcd's words, which its own clients compare too (api/v3rpc/rpctypes/error.go): most of
    /// its codes stand for several things.
    pub(crate) fn new(error: &EtcdError, about: &About<'_>) -> Self {
        let status = match error {
            EtcdError::GRpcStatus(status) if status.source().is_none() => status,
            EtcdError::GRpcStatus(status) => return Self::of_connection(status, about),
            // Before anything is sent: names and certificates.
            EtcdError::TransportError(error) => return Self::for_all(format!("TLS: {}", innermost(error)), SEE_TLS),
            _ => return Self::of_connection(error, about),
        };
        let words = status.message().trim_start_matches("etcdserver: ");
        let user = about.user.unwrap_or("of the certificate");
        let is = |begin: &str| words.starts_with(begin);
        if is("permission denied") {
            let prefix = about.prefix;
            let remedy = format!(
                "grant a role of that user these keys: `etcdctl role grant-permission ROLE readwrite --prefix=true {prefix}`"
            );
            return Self::for_all(format!("the user {user} may not use the keys {prefix}*"), &remedy);
        }
        if is("authentication failed") || is("user name not found") {
            return Self::for_all(format!("the user {user} is refused: {words}"), SEE_USER);
        }
        if is("user name is empty") {
            return Self::for_all("etcd wants a user, and none is named", SEE_USER);
        }
        if is("mvcc: database space exceeded") {
            let remedy = "make room (compact, `etcdctl defrag`), then `etcdctl alarm disarm`".to_owned();
            return Self { remedy, ..Self::passing("its database is full (alarm NOSPACE)") };
        }
        if is("no leader") {
            return Self::passing("no leader: it sees no quorum of the members");
        }
        if i32::from(status.code()) == UNIMPLEMENTED {
            return Self::lasting(format!("this is no etcd with API v3 ({words})"), SEE_URL);
        }
        Self::passing(words)
    }

    /// From an error that is not etcd's: name service, TCP, TLS, HTTP.
    fn of_connection(error: &(dyn Error + 'static), about: &About<'_>) -> Self {
        let words = innermost(error);
        let is = |parts: &[&str]| parts.iter().any(|part| words.contains(part));
        if is(&["fatal alert"]) {
            return Self::of_alert(&words, about);
        }
        if is(&["invalid peer certificate"]) {
            return Self::of_certificate(&words, about);
        }
        if is(&["corrupt message"]) {
            return Self::lasting(format!("it does not speak TLS ({words})"), SEE_URL);
        }
        if is(&["frame with invalid size"]) {
            return Self::lasting(format!("what listens there does not speak etcd's gRPC ({words})"), SEE_URL);
        }
        let has_hung_up = is(&["broken pipe", "closed", "reset", "handshake eof"]);
        let origin = if has_hung_up { Origin::HungUp } else { Origin::Etcd };
        let passing = Self { origin, ..Self::passing(&words) };
        let scheme = match about.is_https {
            false if has_hung_up => "is it etcd, and not https://?",
            true if is(&["handshake eof", "reset"]) => "is it etcd, and not http://?",
            _ => return passing,
        };
        if about.has_answered {
            return passing;
        }
        Self { cause: format!("{words} ({scheme})"), remedy: SEE_URL.to_owned(), ..passing }
    }
    /// From the words with which a member ends the TLS handshake.
    fn of_alert(words: &str, about: &About<'_>) -> Self {
        if ABOUT_CERTIFICATES.iter().any(|alert| words.contains(alert)) {
            let cause = format!("it refuses {} ({words})", about.tls.ours());
            return Self { origin: Origin::Alert, ..Self::lasting(cause, SEE_TLS) };
        }
        let cause = format!("it has no TLS in common with us ({words})");
        Self::lasting(cause, "see its key, which must not be one on P-521, and its --cipher-suites")
    }

    /// From our verdict on a member's certificate.
    fn of_certificate(words: &str, about: &About<'_>) -> Self {
        let (why, remedy) = if words.contains("UnknownIssuer") {
            (format!("not signed by {}", about.tls.authority()), SEE_TLS)
        } else if words.contains("xpired") {
            (format!("expired, or the clock here is wrong ({words})"), "renew it (`openssl x509 -noout -dates`)")
        } else if words.contains("CaUsedAsEndEntity") {
            ("it is an authority's (CA:TRUE)".to_owned(), "give the member one of its own, signed by that")
        } else if words.contains("UnsupportedCertVersion") {
            ("it has no subjectAltName (X.509 v1)".to_owned(), "make one that has")
        } else {
            (words.to_owned(), SEE_TLS)
        };
        Self::lasting(format!("its certificate is refused: {why}"), remedy)
    }
}

/// The outer ones say "transport error" and the like.
fn innermost(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |error| (*error).source()).last().unwrap_or(error).to_string()
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

/// Members that show different clusters.
pub(crate) fn different_clusters<'a>(operation: &str, members: impl Iterator<Item = &'a Member>) -> Failure {
    let cause = format!("they are of different etcd clusters: {}", failure(operation, members).trouble().cause);
    Failure::permanent(operation, cause, ONE_CLUSTER)
}

/// Fewer than half of the members show their cluster.
pub(crate) fn too_few<'a>(operation: &str, members: impl Iterator<Item = &'a Member> + Clone) -> Failure {
    let lasting = |member: &&Member| member.connection.said().is_some_and(|refusal| refusal.lasts);
    let (lost, named) = (members.clone().filter(lasting).count(), members.clone().count());
    let (Failure::Permanent(words) | Failure::Transient(words)) = failure(operation, members);
    let why = "fewer than half of the members named answer, and they alone may be of another cluster";
    let new = if 2 * lost > named { Failure::permanent } else { Failure::transient };
    new(operation, format!("{why}: {}", words.cause), &words.remedy)
}

/// What all members come to. Waiting cures it if it cures one of them.
pub(crate) fn failure<'a>(operation: &str, members: impl Iterator<Item = &'a Member>) -> Failure {
    let asked = members.map(|member| &member.connection).filter(|connection| connection.is_asked());
    let said: Vec<_> = asked.map(|connection| (connection.url(), connection.said())).collect();
    if let Some(refusal) = said.iter().filter_map(|(_, said)| said.as_ref()).find(|refusal| refusal.for_all) {
        return Failure::permanent(operation, &refusal.cause, &refusal.remedy);
    }
    // Whether the words of a member that refuses our certificate arrive before it hangs up is luck (TLS 1.3): where one has
    // said so, it is what the others meant.
    let alert = said.iter().find_map(|(_, said)| said.clone().filter(Refusal::is_alert));
    let meant = |refusal: Refusal| match &alert {
        Some(alert) if refusal.has_hung_up() => alert.clone(),
        _ => refusal,
    };
    let said: Vec<_> = said.into_iter().map(|(url, said)| (url, said.map(meant))).collect();
    // Each cause once, with all who say it.
    let mut causes: Vec<(&str, Vec<&str>)> = Vec::new();
    for (url, said) in &said {
        let cause = said.as_ref().map_or("no answer", |refusal| &refusal.cause);
        match causes.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, urls)) => urls.push(url),
            None => causes.push((cause, vec![url])),
        }
    }
    let causes: Vec<_> = causes.into_iter().map(|(cause, urls)| format!("{}: {cause}", urls.join(" and "))).collect();
    let lasts = !said.is_empty() && said.iter().all(|(_, said)| said.as_ref().is_some_and(|refusal| refusal.lasts));
    // What cannot be cured by waiting first, then what the admin may have mistyped.
    let rank = |refusal: &&Refusal| (refusal.lasts, refusal.remedy == SEE_URL);
    let first = said.iter().filter_map(|(_, said)| said.as_ref()).max_by_key(rank);
    let remedy = first.map_or(SEE_MEMBERS, |refusal| &refusal.remedy);
    let new = if lasts { Failure::permanent } else { Failure::transient };
    new(operation, causes.join(", "), remedy)
}
