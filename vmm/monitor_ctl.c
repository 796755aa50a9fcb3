// SPDX-License-Identifier: GPL-2.0-or-later
/* The person's client: words become a command, and the answer a line. In the monitor's module,
 * because it takes answers apart. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/opt.h"
#include "base/util.h"
#include "monitor_json.h"

/* A monitor that is there answers at once; one that does not in this time hangs. */
#define CTL_TIMEOUT_MS 10000
#define CTL_ANSWER_MAX (1u << 20)
/* How long a guest may take to tell its statistics anew, before older ones are shown. */
#define CTL_STATS_TRIES 10
#define CTL_STATS_NS 100000000
#define CTL_STATS_FRESH_MS 1000

struct ctl {
	int fd;
	struct json_tokener *tok;
	char buf[4096];
	size_t at, len;
};

static int ctl_fill(struct ctl *c, struct err *err)
{
	struct pollfd pfd = { .fd = c->fd, .events = POLLIN };
	ssize_t n;
	int ret;

	do {
		ret = poll(&pfd, 1, CTL_TIMEOUT_MS);
	} while (ret < 0 && errno == EINTR);
	if (!ret)
		return err_set(err, -ETIMEDOUT, "the monitor does not answer");
	n = ret < 0 ? -1 : recv(c->fd, c->buf, sizeof(c->buf), 0);
	if (n < 0)
		return err_sys(err, -errno, "reading the monitor's answer");
	if (!n)
		return err_set(err, -ECONNRESET, "the monitor hung up; the guest has ended, or too "
			       "many clients are connected");
	c->at = 0;
	c->len = (size_t)n;
	return 0;
}

/* The next message; the caller puts it. */
static int ctl_next(struct ctl *c, struct json_object **ret_message, struct err *err)
{
	size_t total = 0;

	json_tokener_reset(c->tok);
	while (total < CTL_ANSWER_MAX) {
		struct json_object *o;
		int ret = c->at == c->len ? ctl_fill(c, err) : 0;

		if (ret)
			return ret;
		total += c->len - c->at;
		o = json_tokener_parse_ex(c->tok, c->buf + c->at, (int)(c->len - c->at));
		c->at += MIN(json_tokener_get_parse_end(c->tok), c->len - c->at);
		if (o) {
			*ret_message = o;
			return 0;
		}
		if (json_tokener_get_error(c->tok) != json_tokener_continue)
			break;
	}
	return err_set(err, -EPROTO, "what answers there is no monitor");
}

static int ctl_send(struct ctl *c, const char *text, struct err *err)
{
	size_t len = strlen(text), done = 0;

	while (done < len) {
		ssize_t n = send(c->fd, text + done, len - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(err, -errno, "asking the monitor");
		done += (size_t)n;
	}
	return 0;
}

static int ctl_failed(struct json_object *error, struct err *err)
{
	struct json_object *desc;

	if (!json_object_object_get_ex(error, "desc", &desc))
		return err_set(err, -EPROTO, "the monitor refuses without a reason");
	return err_set(err, -EREMOTEIO, "%s", json_object_get_string(desc));
}

/* Asks and waits for the answer; events that come before are left aside. */
static int ctl_ask(struct ctl *c, const char *text, struct json_object **ret_answer,
		   struct err *err)
{
	struct json_object *message = NULL, *member = NULL;
	int ret = ctl_send(c, text, err);

	while (!ret) {
		ret = ctl_next(c, &message, err);
		if (ret)
			break;
		if (json_object_object_get_ex(message, "return", &member)) {
			*ret_answer = json_object_get(member);
			json_object_put(message);
			return 0;
		}
		if (json_object_object_get_ex(message, "error", &member))
			ret = ctl_failed(member, err);
		json_object_put(message);
	}
	return ret;
}

static void print_status(FILE *out, struct json_object *answer)
{
	struct json_object *status;

	if (json_object_object_get_ex(answer, "status", &status))
		fprintf(out, "%s\n", json_object_get_string(status));
}

static void print_balloon(FILE *out, struct json_object *answer)
{
	struct json_object *actual;

	if (json_object_object_get_ex(answer, "actual", &actual))
		fprintf(out, "%" PRId64 " MiB\n", json_object_get_int64(actual) / (int64_t)MIB);
}

static void print_stats(FILE *out, struct json_object *stats, int64_t age_ms)
{
	struct json_object_iterator it = json_object_iter_begin(stats);
	struct json_object_iterator end = json_object_iter_end(stats);

	if (age_ms >= CTL_STATS_FRESH_MS)
		fprintf(out, "the guest does not answer; %" PRId64 " s ago it said\n",
			age_ms / 1000);
	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it)) {
		const char *name = json_object_iter_peek_name(&it);
		int64_t value = json_object_get_int64(json_object_iter_peek_value(&it));
		bool bytes = strstr(name, "-memory") || strstr(name, "-swap") ||
			     strstr(name, "-caches");

		if (!strncmp(name, "stat-", 5))
			name += 5;
		if (bytes)
			fprintf(out, "%s: %" PRId64 " MiB\n", name, value / (int64_t)MIB);
		else
			fprintf(out, "%s: %" PRId64 "\n", name, value);
	}
}

/* Looking makes the guest tell anew: again until that has come. A guest without statistics has a
 * size all the same. */
static void show_stats(struct ctl *c, FILE *out)
{
	static const struct timespec wait = { .tv_nsec = CTL_STATS_NS };
	struct json_object *answer = NULL, *stats = NULL, *age;
	int64_t age_ms = CTL_STATS_FRESH_MS;
	unsigned int i;

	for (i = 0; i < CTL_STATS_TRIES && age_ms >= CTL_STATS_FRESH_MS; i++) {
		if (i)
			nanosleep(&wait, NULL);
		json_object_put(answer);
		answer = NULL;
		stats = NULL;
		if (ctl_ask(c, "{\"execute\": \"query-balloon-stats\"}\n", &answer, NULL) ||
		    !json_object_object_get_ex(answer, "stats", &stats) ||
		    !json_object_is_type(stats, json_type_object) ||
		    !json_object_object_get_ex(answer, "age-ms", &age))
			break;
		if (json_object_object_length(stats))
			age_ms = json_object_get_int64(age);
	}
	if (stats && json_object_is_type(stats, json_type_object) &&
	    json_object_object_length(stats))
		print_stats(out, stats, age_ms);
	json_object_put(answer);
}

static void print_commands(FILE *out, struct json_object *answer)
{
	size_t i, n;

	if (!json_object_is_type(answer, json_type_array))
		return;
	n = json_object_array_length(answer);
	for (i = 0; i < n; i++) {
		struct json_object *name;

		if (json_object_object_get_ex(json_object_array_get_idx(answer, i), "name", &name))
			fprintf(out, "%s\n", json_object_get_string(name));
	}
}

static void print_raw(FILE *out, struct json_object *answer)
{
	fprintf(out, "%s\n", json_object_to_json_string_ext(answer, JSON_C_TO_STRING_PLAIN));
}

static int args_balloon(struct json_object *args, char **words, struct err *err)
{
	static const struct opt_field field = { .name = "size", .type = OPT_SIZE };
	uint64_t bytes = 0;
	int ret = opt_decode(&field, &bytes, words[0], err);

	if (!ret)
		json_object_object_add(args, "value", json_object_new_int64((int64_t)bytes));
	return ret;
}

static int args_link(struct json_object *args, char **words, struct err *err)
{
	bool up = !strcmp(words[1], "on");

	if (!up && strcmp(words[1], "off") != 0)
		return err_set(err, -EINVAL, "set-link: a link is on or off, not \"%s\"", words[1]);
	json_object_object_add(args, "name", json_object_new_string(words[0]));
	json_object_object_add(args, "up", json_object_new_boolean(up));
	return 0;
}

static const struct ctl_row {
	const char *words[2]; /* what is typed */
	const char *execute;
	int arg_count;
	int (*args)(struct json_object *args, char **words, struct err *err);
	void (*print)(FILE *out, struct json_object *answer);
	void (*more)(struct ctl *c, FILE *out); /* asks further and prints that */
} rows[] = {
	{ { "info", "status" }, "query-status", 0, NULL, print_status, NULL },
	{ { "info", "balloon" }, "query-balloon", 0, NULL, print_balloon, show_stats },
	{ { "info", "commands" }, "query-commands", 0, NULL, print_commands, NULL },
	{ { "info", "version" }, "query-version", 0, NULL, print_raw, NULL },
	{ { "info", "name" }, "query-name", 0, NULL, print_raw, NULL },
	{ { "balloon" }, "balloon", 1, args_balloon, NULL, NULL },
	{ { "set-link" }, "set_link", 2, args_link, NULL, NULL },
	{ { "stop" }, "stop", 0, NULL, NULL, NULL },
	{ { "cont" }, "cont", 0, NULL, NULL, NULL },
	{ { "powerdown" }, "system_powerdown", 0, NULL, NULL, NULL },
	{ { "reset" }, "system_reset", 0, NULL, NULL, NULL },
	{ { "quit" }, "quit", 0, NULL, NULL, NULL },
};

static int ctl_compose(const struct ctl_row *row, char **words, struct json_object **ret_command,
		       struct err *err)
{
	struct json_object *command = json_object_new_object();
	struct json_object *args = json_object_new_object();
	int ret = row->args ? row->args(args, words, err) : 0;

	json_object_object_add(command, "execute", json_object_new_string(row->execute));
	json_object_object_add(command, "arguments", args);
	if (ret)
		json_object_put(command);
	else
		*ret_command = command;
	return ret;
}

/* The row of what is typed, and how many words name it. NULL with the reason when there is none. */
static const struct ctl_row *ctl_find(int argc, char **argv, int *ret_used, struct err *err)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int used = rows[i].words[1] ? 2 : 1;

		if (strcmp(argv[0], rows[i].words[0]) != 0 ||
		    (used == 2 && (argc < 2 || strcmp(argv[1], rows[i].words[1]) != 0)))
			continue;
		if (argc - used != rows[i].arg_count) {
			err_set(err, -EINVAL, "%s takes %d arguments", argv[0], rows[i].arg_count);
			return NULL;
		}
		*ret_used = used;
		return &rows[i];
	}
	err_set(err, -EINVAL, "%s: not a command", argv[0]);
	return NULL;
}

static int ctl_command(struct ctl *c, const char *text, const struct ctl_row *row, FILE *out,
		       struct err *err)
{
	struct json_object *message = NULL, *answer = NULL;
	int ret = ctl_next(c, &message, err);

	if (!ret && !json_object_object_get_ex(message, "QMP", NULL))
		ret = err_set(err, -EPROTO, "what answers there is no monitor");
	json_object_put(message);
	if (!ret)
		ret = ctl_ask(c, "{\"execute\": \"qmp_capabilities\"}\n", &answer, err);
	json_object_put(answer);
	answer = NULL;
	if (!ret)
		ret = ctl_ask(c, text, &answer, err);
	if (!ret && (!row || row->print))
		(row ? row->print : print_raw)(out, answer);
	if (!ret && row && row->more)
		row->more(c, out);
	json_object_put(answer);
	return ret;
}

int monitor_ctl(int fd, int argc, char **argv, FILE *out, struct err *err)
{
	struct ctl c = { .fd = fd, .tok = json_tokener_new() };
	struct json_object *command = NULL;
	const struct ctl_row *row = NULL;
	int used = 0, ret = 0;

	if (!c.tok)
		return err_sys(err, -ENOMEM, "ctl");
	/* JSON goes as it is. */
	if (argv[0][0] == '{') {
		command = json_tokener_parse(argv[0]);
		if (!command || argc > 1)
			ret = err_set(err, -EINVAL, "%s: is not one JSON object", argv[0]);
	} else {
		row = ctl_find(argc, argv, &used, err);
		ret = row ? ctl_compose(row, argv + used, &command, err) : -EINVAL;
	}
	if (!ret)
		ret = ctl_command(&c, json_object_to_json_string(command), row, out, err);
	json_object_put(command);
	json_tokener_free(c.tok);
	return ret;
}
