// SPDX-License-Identifier: GPL-2.0-or-later
/* The monitor's module: what needs json-c, so that a guest without a monitor does without it. */
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "monitor_json.h"
#include "monitor_priv.h"

#define READER_DEPTH 32

struct monitor_reader {
	struct json_tokener *tok;
	struct json_object *message; /* of the last request */
};

static struct monitor_reader *reader_new(void)
{
	struct monitor_reader *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->tok = json_tokener_new_ex(READER_DEPTH);
	if (!r->tok) {
		free(r);
		return NULL;
	}
	json_tokener_set_flags(r->tok, JSON_TOKENER_VALIDATE_UTF8);
	return r;
}

static void reader_reset(struct monitor_reader *r)
{
	json_tokener_reset(r->tok);
}

static void reader_free(struct monitor_reader *r)
{
	if (!r)
		return;
	json_object_put(r->message);
	json_tokener_free(r->tok);
	free(r);
}

/* A string with a zero byte in it is no name of anything. */
static const char *string_of(struct json_object *o)
{
	const char *s = json_object_get_string(o);

	return s && strlen(s) == (size_t)json_object_get_string_len(o) ? s : NULL;
}

static void take_arg(struct monitor_arg *arg, const char *name, struct json_object *o)
{
	*arg = (struct monitor_arg){ .name = name, .kind = MONITOR_OTHER };
	if (json_object_is_type(o, json_type_string)) {
		arg->string = string_of(o);
		if (arg->string)
			arg->kind = MONITOR_STRING;
	} else if (json_object_is_type(o, json_type_boolean)) {
		arg->kind = MONITOR_BOOL;
		arg->flag = json_object_get_boolean(o);
	} else if (json_object_is_type(o, json_type_int)) {
		arg->kind = MONITOR_NUMBER;
		arg->number = json_object_get_int64(o);
	}
}

static const char *take_args(struct monitor_request *req, struct json_object *args)
{
	if (!json_object_is_type(args, json_type_object))
		return "QMP input member 'arguments' must be an object";
	json_object_object_foreach(args, name, value) {
		if (req->arg_count == MONITOR_ARGS_MAX)
			return "there are more arguments than any command has";
		take_arg(&req->args[req->arg_count++], name, value);
	}
	return NULL;
}

/* What is wrong with the message, NULL: nothing. */
static const char *take_message(struct monitor_request *req, struct json_object *message)
{
	const char *why = NULL, *execute = NULL;

	if (!json_object_is_type(message, json_type_object))
		return "QMP input must be a JSON object";
	json_object_object_foreach(message, name, value) {
		if (!strcmp(name, "id"))
			req->id = json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
		else if (!strcmp(name, "execute") && json_object_is_type(value, json_type_string))
			execute = string_of(value);
		else if (!strcmp(name, "execute"))
			why = "QMP input member 'execute' must be a string";
		else if (!strcmp(name, "arguments"))
			why = take_args(req, value);
		else
			why = "QMP input has a member that is none of execute, arguments and id";
		if (why)
			return why;
	}
	if (!execute)
		return "QMP input lacks member 'execute'";
	req->execute = execute;
	return NULL;
}

static int feed(struct monitor_reader *r, const char *buf, size_t size, size_t *ret_used,
		struct monitor_request *req)
{
	enum json_tokener_error error;

	json_object_put(r->message);
	r->message = json_tokener_parse_ex(r->tok, buf, (int)MIN(size, MONITOR_FEED_MAX));
	error = json_tokener_get_error(r->tok);
	*ret_used = MIN(json_tokener_get_parse_end(r->tok), size);
	if (error == json_tokener_continue)
		return 0;
	json_tokener_reset(r->tok);
	if (error != json_tokener_success)
		return -EINVAL;
	*req = (struct monitor_request){ .execute = NULL };
	req->why = take_message(req, r->message);
	return 1;
}

extern const struct monitor_module viaduct_monitor_module;
const struct monitor_module viaduct_monitor_module = {
	.head = { VIADUCT_VERSION },
	.reader_new = reader_new,
	.reader_free = reader_free,
	.feed = feed,
	.reset = reader_reset,
	.ctl = monitor_ctl,
};
