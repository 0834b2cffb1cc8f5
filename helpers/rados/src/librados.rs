//! librados, as safe Rust: the only `unsafe` of this helper.
//!
//! The bindings are those of the crate `ceph`; what it lacks is declared here. Its safe layer is not used: it joins
//! what may never return, knows neither cluster names nor asynchronous class calls, and shuts down when dropped.
//! Nothing here is freed for that reason: rados_shutdown may hang (FACTS A9), and the process ends soon.
//!
//! Every function but [`Pool::ask`] and [`Pool::change`] may block for as long as the cluster likes: call it from a
//! thread of its own. These two block with a thousand requests unanswered (objecter_inflight_ops), so ask again only
//! for what has to be new.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::future::Future;
use std::pin::Pin;
use std::ptr::{null, null_mut};
use std::task::{Context, Poll};

use ceph::rados;
use nix::errno::Errno;
use tokio::sync::oneshot;

unsafe extern "C" {
    fn rados_service_register(
        cluster: rados::rados_t,
        service: *const c_char,
        daemon: *const c_char,
        metadata: *const c_char,
    ) -> c_int;
    fn rados_set_pool_full_try(pool: rados::rados_ioctx_t);
}

/// Longest value of an option or an id that is asked for.
const TEXT_ROOM: usize = 4096;

/// A client of a cluster. Copies are the same client.
#[derive(Clone, Copy)]
pub(crate) struct Cluster(rados::rados_t);

// SAFETY: librados locks its handles itself; its documentation lets any thread use them.
unsafe impl Send for Cluster {}

/// A pool of a cluster, with a namespace. Copies are the same.
#[derive(Clone, Copy)]
pub(crate) struct Pool(rados::rados_ioctx_t);

// SAFETY: as for `Cluster`.
unsafe impl Send for Pool {}

/// The number that librados gave back: 0 or more is success.
fn check(code: c_int) -> Result<c_int, Errno> {
    if code < 0 { Err(Errno::from_raw(-code)) } else { Ok(code) }
}

fn c_string(text: &str) -> Result<CString, Errno> {
    CString::new(text).map_err(|_| Errno::EINVAL)
}

impl Cluster {
    /// A client that is not connected.
    pub(crate) fn new(cluster: &str, user: &str) -> Result<Self, Errno> {
        let (cluster, user) = (c_string(cluster)?, c_string(user)?);
        let mut handle = null_mut();
        // SAFETY: the strings outlive the call, which copies them, and `handle` is written on success.
        check(unsafe { rados::rados_create2(&mut handle, cluster.as_ptr(), user.as_ptr(), 0) })?;
        Ok(Self(handle))
    }

    /// Reads the configuration: this file, or the first of librados' places for it.
    pub(crate) fn read_conf(self, path: Option<&CStr>) -> Result<(), Errno> {
        // SAFETY: the handle is never freed while in use; null means the default places.
        check(unsafe { rados::rados_conf_read_file(self.0, path.map_or(null(), CStr::as_ptr)) }).map(drop)
    }

    /// Reads the options in CEPH_ARGS.
    pub(crate) fn read_environment(self) -> Result<(), Errno> {
        // SAFETY: as above; null means CEPH_ARGS.
        check(unsafe { rados::rados_conf_parse_env(self.0, null()) }).map(drop)
    }

    pub(crate) fn set_option(self, name: &CStr, value: &CStr) -> Result<(), Errno> {
        // SAFETY: as above; the strings are copied.
        check(unsafe { rados::rados_conf_set(self.0, name.as_ptr(), value.as_ptr()) }).map(drop)
    }

    /// An option's value; empty where it has none.
    pub(crate) fn option(self, name: &CStr) -> String {
        let mut value = vec![0_u8; TEXT_ROOM];
        // SAFETY: as above; at most `value.len()` bytes are written, with a NUL at their end.
        let code = unsafe { rados::rados_conf_get(self.0, name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        if code < 0 { String::new() } else { text_of(&value) }
    }

    pub(crate) fn connect(self) -> Result<(), Errno> {
        // SAFETY: as above.
        check(unsafe { rados::rados_connect(self.0) }).map(drop)
    }

    /// Ends the client; its other copies must not be used any more, nor an answer be waited for: none comes after this.
    pub(crate) fn shut_down(self) {
        // SAFETY: as above; the caller has no other copy in use.
        unsafe { rados::rados_shutdown(self.0) };
    }

    /// Which cluster this is.
    pub(crate) fn fsid(self) -> Result<String, Errno> {
        let mut text = vec![0_u8; TEXT_ROOM];
        // SAFETY: as in `option`.
        check(unsafe { rados::rados_cluster_fsid(self.0, text.as_mut_ptr().cast(), text.len()) })?;
        Ok(text_of(&text))
    }

    /// Our number in the cluster: we are `client.<number>`.
    pub(crate) fn instance_id(self) -> u64 {
        // SAFETY: as above.
        unsafe { rados::rados_get_instance_id(self.0) }
    }

    /// Enters `daemon` into ceph-mgr's service map for as long as this client lives.
    pub(crate) fn register_service(self, service: &CStr, daemon: &str, facts: &[(&str, String)]) -> Result<(), Errno> {
        let daemon = c_string(daemon)?;
        let facts = dictionary(facts);
        // SAFETY: as above; the dictionary ends with an empty key, as librados.h asks for.
        check(unsafe { rados_service_register(self.0, service.as_ptr(), daemon.as_ptr(), facts.as_ptr().cast()) })
            .map(drop)
    }

    /// Asks the monitors; the answer is text in the format that the command asks for.
    pub(crate) fn ask_monitors(self, command: &str) -> Result<Vec<u8>, Errno> {
        let command = c_string(command)?;
        let (mut answer, mut answer_length) = (null_mut(), 0);
        let (mut words, mut words_length) = (null_mut(), 0);
        // SAFETY: one command without further input; librados allocates both outputs.
        let code = unsafe {
            rados::rados_mon_command(
                self.0,
                &mut command.as_ptr(),
                1,
                null(),
                0,
                &mut answer,
                &mut answer_length,
                &mut words,
                &mut words_length,
            )
        };
        let text = taken(answer, answer_length);
        taken(words, words_length);
        check(code).map(|_| text)
    }

    /// A pool by its name.
    pub(crate) fn pool(self, name: &str, namespace: Option<&str>) -> Result<Pool, Errno> {
        let name = c_string(name)?;
        let namespace = c_string(namespace.unwrap_or_default())?;
        let mut pool = null_mut();
        // SAFETY: as above; `pool` is written on success.
        check(unsafe { rados::rados_ioctx_create(self.0, name.as_ptr(), &mut pool) })?;
        // SAFETY: as above; an empty namespace is the default one.
        unsafe { rados::rados_ioctx_set_namespace(pool, namespace.as_ptr()) };
        // A full cluster then says so, where it would keep silent until there is room.
        // SAFETY: as above.
        unsafe { rados_set_pool_full_try(pool) };
        Ok(Pool(pool))
    }
}

/// The answer to a class call: its output.
pub(crate) type Answer = Result<Vec<u8>, Errno>;

/// A class call that was sent. To drop it takes nothing back.
pub(crate) struct Call(oneshot::Receiver<Answer>);

impl Future for Call {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        // The sender goes with its answer alone.
        Pin::new(&mut self.0).poll(context).map(|answer| answer.unwrap_or(Err(Errno::EIO)))
    }
}

/// What a class call leaves with librados until its answer comes, which may be long after nobody waits for it.
struct Asked {
    answer: oneshot::Sender<Answer>,
    /// Allocated by librados, which alone knows how long the answer is.
    output: *mut c_char,
    output_length: usize,
    output_code: c_int,
}

impl Pool {
    /// The pool's number.
    pub(crate) fn id(self) -> i64 {
        // SAFETY: the handle is never freed.
        unsafe { rados::rados_ioctx_get_id(self.0) }
    }

    /// Calls a method of an object class that reads. The request is sent when this returns.
    pub(crate) fn ask(self, object: &CStr, class: &CStr, method: &CStr, input: &[u8]) -> Call {
        self.send(|completion, asked| {
            // SAFETY: the strings outlive the call and `input` is copied. `asked` is valid until the answer comes, so
            // librados may write into it until then. The operation is ours, and not used after its release.
            unsafe {
                let operation = rados::rados_create_read_op();
                rados::rados_read_op_exec(
                    operation,
                    class.as_ptr(),
                    method.as_ptr(),
                    input.as_ptr().cast(),
                    input.len(),
                    &raw mut (*asked).output,
                    &raw mut (*asked).output_length,
                    &raw mut (*asked).output_code,
                );
                let sent = rados::rados_aio_read_op_operate(operation, self.0, completion, object.as_ptr(), 0);
                rados::rados_release_read_op(operation);
                sent
            }
        })
    }

    /// Calls a method that changes the object, and has no output. The request is sent when this returns.
    pub(crate) fn change(self, object: &CStr, class: &CStr, method: &CStr, input: &[u8]) -> Call {
        self.send(|completion, _| {
            // SAFETY: as in `ask`; null where nothing is to be written, and for the present as the time of change.
            unsafe {
                let operation = rados::rados_create_write_op();
                rados::rados_write_op_exec(
                    operation,
                    class.as_ptr(),
                    method.as_ptr(),
                    input.as_ptr().cast(),
                    input.len(),
                    null_mut(),
                );
                let object = object.as_ptr();
                let sent = rados::rados_aio_write_op_operate(operation, self.0, completion, object, null_mut(), 0);
                rados::rados_release_write_op(operation);
                sent
            }
        })
    }

    fn send(self, submit: impl FnOnce(rados::rados_completion_t, *mut Asked) -> c_int) -> Call {
        let (answer, answered) = oneshot::channel();
        let asked = Asked { answer, output: null_mut(), output_length: 0, output_code: 0 };
        let asked = Box::into_raw(Box::new(asked));
        let mut completion = null_mut();
        // SAFETY: librados hands the box to `on_answer`, once; the completion is written on success.
        let made =
            unsafe { check(rados::rados_aio_create_completion(asked.cast(), Some(on_answer), None, &mut completion)) };
        let sent = made.and_then(|_| {
            let sent = check(submit(completion, asked));
            // SAFETY: ours until here; librados keeps its own share of one that was submitted.
            unsafe { rados::rados_aio_release(completion) };
            sent
        });
        if let Err(error) = sent {
            // SAFETY: what was not sent is not answered, so the box is still ours.
            let asked = unsafe { Box::from_raw(asked) };
            let _ = asked.answer.send(Err(error));
        }
        Call(answered)
    }
}

/// Runs on a thread of librados.
extern "C" fn on_answer(completion: rados::rados_completion_t, asked: *mut c_void) {
    // SAFETY: the box that `send` made, given to librados once; it calls this once, and writes no more into it.
    let asked = *unsafe { Box::from_raw(asked.cast::<Asked>()) };
    // SAFETY: librados keeps the completion for as long as this runs.
    let code = unsafe { rados::rados_aio_get_return_value(completion) };
    let output = taken(asked.output, asked.output_length);
    // Nobody may be waiting any more.
    let _ = asked.answer.send(check(code).and_then(|_| check(asked.output_code)).map(|_| output));
}

/// A copy of what librados has allocated, which is freed.
fn taken(buffer: *mut c_char, length: usize) -> Vec<u8> {
    if buffer.is_null() {
        return Vec::new();
    }
    // SAFETY: librados says that so many bytes are there, and they are ours to free.
    unsafe {
        let bytes = std::slice::from_raw_parts(buffer.cast::<u8>(), length).to_vec();
        rados::rados_buffer_free(buffer);
        bytes
    }
}

/// `key\0value\0` for each, and an empty key at the end.
fn dictionary(facts: &[(&str, String)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (key, value) in facts {
        for text in [key, value.as_str()] {
            // A NUL would move all that follows.
            bytes.extend(text.bytes().filter(|&byte| byte != 0));
            bytes.push(0);
        }
    }
    bytes.extend([0, 0]);
    bytes
}

fn text_of(bytes: &[u8]) -> String {
    CStr::from_bytes_until_nul(bytes).unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::dictionary;

    #[test]
    fn a_dictionary_ends_with_an_empty_key_and_no_value_moves_another() {
        let facts = [("a", "1".to_owned()), ("b", String::new()), ("c", "x\0y".to_owned())];
        assert_eq!(dictionary(&facts), b"a\x001\0b\0\0c\0xy\0\0\0");
        assert_eq!(dictionary(&[]), b"\0\0");
    }
}
