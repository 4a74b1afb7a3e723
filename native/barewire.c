/*
 * The one C file of Barewire: what JavaScript cannot say to the kernel by itself.
 *
 *   syscall(nr, ...args)          any system call; the result, or -errno
 *   addressOf(view)               where a typed array's bytes lie
 *   poll(fd, events, callback)    readiness of a descriptor on Node's event loop
 *   pollControl(id, events)       other events; 0 pauses, -1 closes
 *
 * Everything else, struct layouts and rings included, is TypeScript.
 *
 * It includes no header of Node, libuv or libc, so `cc` alone builds it, and it links nothing, so one binary serves
 * glibc and musl: Node-API (version 8) and libuv are stable C ABIs whose few declarations used here stand below, and
 * Node itself exports them. The system call is made by hand because libc's `syscall` hides the error in `errno`.
 */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;
typedef long i64;

#if !defined(__linux__) || !(defined(__x86_64__) || defined(__aarch64__))
#error "Barewire runs on Linux, x86-64 and arm64"
#endif

/* ---- Node-API (js_native_api.h, node_api.h) ---- */

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_ref__ *napi_ref;
typedef struct napi_info__ *napi_info;
typedef struct napi_scope__ *napi_scope;
typedef struct napi_async_context__ *napi_async_context;
typedef struct napi_cleanup__ *napi_cleanup;
typedef napi_value (*napi_callback)(napi_env, napi_info);
typedef void (*napi_async_cleanup_hook)(napi_cleanup, void *);

enum { napi_ok = 0 };
enum { napi_undefined = 0, napi_null = 1, napi_bigint = 9 };

extern int napi_get_cb_info(napi_env, napi_info, u64 *argc, napi_value *argv, napi_value *self, void **data);
extern int napi_typeof(napi_env, napi_value, int *type);
extern int napi_get_value_int64(napi_env, napi_value, i64 *);
extern int napi_get_value_int32(napi_env, napi_value, int *);
extern int napi_get_value_bigint_uint64(napi_env, napi_value, u64 *, u8 *lossless);
extern int napi_get_value_bigint_int64(napi_env, napi_value, i64 *, u8 *lossless);
extern int napi_is_typedarray(napi_env, napi_value, u8 *);
extern int napi_is_dataview(napi_env, napi_value, u8 *);
extern int napi_get_typedarray_info(napi_env, napi_value, int *type, u64 *length, void **data, napi_value *buffer,
                                    u64 *offset);
extern int napi_get_dataview_info(napi_env, napi_value, u64 *length, void **data, napi_value *buffer, u64 *offset);
extern int napi_create_int64(napi_env, i64, napi_value *);
extern int napi_create_function(napi_env, const char *, u64, napi_callback, void *, napi_value *);
extern int napi_create_string_utf8(napi_env, const char *, u64, napi_value *);
extern int napi_set_named_property(napi_env, napi_value, const char *, napi_value);
extern int napi_throw_type_error(napi_env, const char *code, const char *message);
extern int napi_create_reference(napi_env, napi_value, u32, napi_ref *);
extern int napi_delete_reference(napi_env, napi_ref);
extern int napi_get_reference_value(napi_env, napi_ref, napi_value *);
extern int napi_open_handle_scope(napi_env, napi_scope *);
extern int napi_close_handle_scope(napi_env, napi_scope);
extern int napi_get_global(napi_env, napi_value *);
extern int napi_make_callback(napi_env, napi_async_context, napi_value self, napi_value fn, u64 argc,
                              const napi_value *argv, napi_value *result);
extern int napi_async_init(napi_env, napi_value resource, napi_value name, napi_async_context *);
extern int napi_async_destroy(napi_env, napi_async_context);
extern int napi_get_and_clear_last_exception(napi_env, napi_value *);
extern int napi_is_exception_pending(napi_env, u8 *);
extern int napi_fatal_exception(napi_env, napi_value);
extern int napi_set_instance_data(napi_env, void *, void (*finalize)(napi_env, void *, void *), void *);
extern int napi_get_instance_data(napi_env, void **);
extern int napi_add_async_cleanup_hook(napi_env, napi_async_cleanup_hook, void *, napi_cleanup *);
extern int napi_remove_async_cleanup_hook(napi_cleanup);
extern int napi_get_uv_event_loop(napi_env, void **loop);

/* ---- libuv (uv.h, uv/unix.h) ---- */

typedef void uv_poll;
enum { UV_POLL = 8 };
extern u64 uv_handle_size(int type);
extern int uv_poll_init(void *loop, uv_poll *, int fd);
extern int uv_poll_start(uv_poll *, int events, void (*)(uv_poll *, int status, int events));
extern int uv_poll_stop(uv_poll *);
extern void uv_close(uv_poll *, void (*)(uv_poll *));
extern void *uv_handle_get_data(const uv_poll *);
extern void uv_handle_set_data(uv_poll *, void *);

/* ---- any libc ---- */

extern void *calloc(u64, u64);
extern void free(void *);

/* ---- system calls ---- */

static i64 invoke(i64 nr, const i64 a[6]) {
#if defined(__x86_64__)
  i64 result;
  register i64 r10 __asm__("r10") = a[3];
  register i64 r8 __asm__("r8") = a[4];
  register i64 r9 __asm__("r9") = a[5];
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(nr), "D"(a[0]), "S"(a[1]), "d"(a[2]), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
#else
  register i64 x8 __asm__("x8") = nr;
  register i64 x0 __asm__("x0") = a[0];
  register i64 x1 __asm__("x1") = a[1];
  register i64 x2 __asm__("x2") = a[2];
  register i64 x3 __asm__("x3") = a[3];
  register i64 x4 __asm__("x4") = a[4];
  register i64 x5 __asm__("x5") = a[5];
  __asm__ volatile("svc 0"
                   : "+r"(x0)
                   : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                   : "memory");
  return x0;
#endif
}

/* The bytes of a typed array, Buffer or DataView; 0 when the value is none of them. */
static int view_address(napi_env env, napi_value value, void **data) {
  u8 yes = 0;
  if (napi_is_typedarray(env, value, &yes) == napi_ok && yes)
    return napi_get_typedarray_info(env, value, 0, 0, data, 0, 0) == napi_ok;
  if (napi_is_dataview(env, value, &yes) == napi_ok && yes)
    return napi_get_dataview_info(env, value, 0, data, 0, 0) == napi_ok;
  return 0;
}

/* A number or bigint by value, a view by its address, null and undefined as 0. */
static int argument(napi_env env, napi_value value, i64 *out) {
  int type = -1;
  /* Nearly all are numbers, and asking for the type first would be half of the crossing's cost. */
  if (napi_get_value_int64(env, value, out) == napi_ok) return 1;
  if (napi_typeof(env, value, &type) != napi_ok) return 0;
  switch (type) {
    case napi_bigint: {
      u8 lossless = 0;
      if (napi_get_value_bigint_int64(env, value, out, &lossless) != napi_ok) return 0;
      if (lossless) return 1;
      return napi_get_value_bigint_uint64(env, value, (u64 *)out, &lossless) == napi_ok && lossless;
    }
    case napi_undefined:
    case napi_null:
      *out = 0;
      return 1;
    default: {
      void *data = 0;
      if (!view_address(env, value, &data)) return 0;
      *out = (i64)data;
      return 1;
    }
  }
}

static napi_value integer(napi_env env, i64 number) {
  napi_value result = 0;
  napi_create_int64(env, number, &result);
  return result;
}

static napi_value type_error(napi_env env, const char *message) {
  napi_throw_type_error(env, "BW_NATIVE", message);
  return 0;
}

static napi_value js_syscall(napi_env env, napi_info info) {
  napi_value argv[7];
  u64 argc = 7;
  i64 nr = 0, a[6] = {0, 0, 0, 0, 0, 0};
  if (napi_get_cb_info(env, info, &argc, argv, 0, 0) != napi_ok || argc < 1 || argc > 7)
    return type_error(env, "syscall(nr, ...args) takes a number and up to six arguments");
  if (!argument(env, argv[0], &nr)) return type_error(env, "syscall: the number is not a number");
  for (u64 i = 1; i < argc; i++)
    if (!argument(env, argv[i], &a[i - 1]))
      return type_error(env, "syscall: an argument is neither number, bigint, typed array, DataView, null nor undefined");
  return integer(env, invoke(nr, a));
}

static napi_value js_address_of(napi_env env, napi_info info) {
  napi_value argv[1];
  u64 argc = 1;
  void *data = 0;
  if (napi_get_cb_info(env, info, &argc, argv, 0, 0) != napi_ok || argc < 1 || !view_address(env, argv[0], &data))
    return type_error(env, "addressOf(view) takes a typed array or DataView");
  return integer(env, (i64)data);
}

/* Does nothing: the cost of entering the addon, the yardstick beside which a system call is measured. */
static napi_value js_nothing(napi_env env, napi_info info) {
  (void)env;
  (void)info;
  return 0;
}

/* ---- readiness ---- */

struct state;

struct poller {
  struct poller *next;
  struct state *state;
  napi_ref callback;
  napi_async_context context;
  i64 id;
  int closing;
  /* the uv_poll_t follows, of the size that libuv tells */
  u64 handle[];
};

/* One per environment: the main thread and each worker have their own. */
struct state {
  napi_env env;
  void *loop;
  struct poller *pollers;
  i64 last_id;
  napi_cleanup cleanup;
  int ending;
};

static void release_if_done(struct state *state) {
  if (!state->ending || state->pollers) return;
  napi_remove_async_cleanup_hook(state->cleanup);
  free(state);
}

static void on_closed(uv_poll *handle) {
  struct poller *poller = uv_handle_get_data(handle);
  struct state *state = poller->state;
  struct poller **link = &state->pollers;
  while (*link != poller) link = &(*link)->next;
  *link = poller->next;
  free(poller);
  release_if_done(state);
}

static void close_poller(struct poller *poller) {
  if (poller->closing) return;
  poller->closing = 1;
  napi_env env = poller->state->env;
  uv_poll_stop(poller->handle);
  napi_delete_reference(env, poller->callback);
  napi_async_destroy(env, poller->context);
  uv_close(poller->handle, on_closed);
}

static void on_ready(uv_poll *handle, int status, int events) {
  struct poller *poller = uv_handle_get_data(handle);
  napi_env env = poller->state->env;
  napi_scope scope = 0;
  napi_value callback = 0, self = 0, argument_value = 0, result = 0;
  if (poller->closing || napi_open_handle_scope(env, &scope) != napi_ok) return;
  argument_value = integer(env, status < 0 ? status : events);
  if (napi_get_reference_value(env, poller->callback, &callback) == napi_ok && napi_get_global(env, &self) == napi_ok &&
      napi_make_callback(env, poller->context, self, callback, 1, &argument_value, &result) != napi_ok) {
    u8 pending = 0;
    napi_value exception = 0;
    if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
        napi_get_and_clear_last_exception(env, &exception) == napi_ok)
      napi_fatal_exception(env, exception);
  }
  napi_close_handle_scope(env, scope);
}

/*
 * An environment that ends with open handles must wait for libuv to close them: a synchronous hook would free the
 * environment under them.
 */
static void on_environment_end(napi_cleanup cleanup, void *data) {
  struct state *state = data;
  state->cleanup = cleanup;
  state->ending = 1;
  for (struct poller *poller = state->pollers, *next; poller; poller = next) {
    next = poller->next;
    close_poller(poller);
  }
  release_if_done(state);
}

static struct state *state_of(napi_env env) {
  void *state = 0;
  napi_get_instance_data(env, &state);
  return state;
}

static napi_value js_poll(napi_env env, napi_info info) {
  napi_value argv[3], name = 0;
  u64 argc = 3;
  int fd = -1, events = 0, status;
  struct state *state = state_of(env);
  if (napi_get_cb_info(env, info, &argc, argv, 0, 0) != napi_ok || argc < 3 ||
      napi_get_value_int32(env, argv[0], &fd) != napi_ok || napi_get_value_int32(env, argv[1], &events) != napi_ok)
    return type_error(env, "poll(fd, events, callback) takes a descriptor, UV_READABLE and the like, and a function");
  if (!state || state->ending) return integer(env, -125 /* ECANCELED */);
  struct poller *poller = calloc(1, sizeof(struct poller) + uv_handle_size(UV_POLL));
  if (!poller) return integer(env, -12 /* ENOMEM */);
  status = uv_poll_init(state->loop, poller->handle, fd);
  if (status < 0) {
    free(poller);
    return integer(env, status);
  }
  poller->state = state;
  poller->id = ++state->last_id;
  uv_handle_set_data(poller->handle, poller);
  poller->next = state->pollers;
  state->pollers = poller;
  napi_create_string_utf8(env, "BAREWIRE_POLL", 13, &name);
  napi_create_reference(env, argv[2], 1, &poller->callback);
  napi_async_init(env, 0, name, &poller->context);
  status = uv_poll_start(poller->handle, events, on_ready);
  if (status < 0) {
    close_poller(poller);
    return integer(env, status);
  }
  return integer(env, poller->id);
}

static napi_value js_poll_control(napi_env env, napi_info info) {
  napi_value argv[2];
  u64 argc = 2;
  i64 id = 0;
  int events = 0;
  struct state *state = state_of(env);
  if (napi_get_cb_info(env, info, &argc, argv, 0, 0) != napi_ok || argc < 2 ||
      napi_get_value_int64(env, argv[0], &id) != napi_ok || napi_get_value_int32(env, argv[1], &events) != napi_ok)
    return type_error(env, "pollControl(id, events) takes the number that poll returned, and events");
  struct poller *poller = state ? state->pollers : 0;
  while (poller && poller->id != id) poller = poller->next;
  if (!poller || poller->closing) return integer(env, -9 /* EBADF */);
  if (events < 0) {
    close_poller(poller);
    return integer(env, 0);
  }
  if (events == 0) return integer(env, uv_poll_stop(poller->handle));
  return integer(env, uv_poll_start(poller->handle, events, on_ready));
}

/* ---- module ---- */

static void export_function(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function = 0;
  u64 length = 0;
  while (name[length]) length++;
  napi_create_function(env, name, length, callback, 0, &function);
  napi_set_named_property(env, exports, name, function);
}

__attribute__((visibility("default"))) int node_api_module_get_api_version_v1(void) { return 8; }

__attribute__((visibility("default"))) napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  struct state *state = calloc(1, sizeof(struct state));
  if (!state) return exports;
  state->env = env;
  napi_get_uv_event_loop(env, &state->loop);
  napi_set_instance_data(env, state, 0, 0);
  napi_add_async_cleanup_hook(env, on_environment_end, state, &state->cleanup);
  export_function(env, exports, "syscall", js_syscall);
  export_function(env, exports, "addressOf", js_address_of);
  export_function(env, exports, "nothing", js_nothing);
  export_function(env, exports, "poll", js_poll);
  export_function(env, exports, "pollControl", js_poll_control);
  return exports;
}
