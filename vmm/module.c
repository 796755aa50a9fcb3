// SPDX-License-Identifier: GPL-2.0-or-later
#include "module.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

/* The directory of the running program, without its last slash. */
static int program_dir(char *buf, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", buf, size - 1);
	char *slash;

	if (n < 0)
		return -errno;
	buf[n] = '\0';
	slash = strrchr(buf, '/');
	if (!slash)
		return -ENOENT;
	*slash = '\0';
	return 0;
}

static void *load(const char *dir, const char *file)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, file);

	if (n < 0 || (size_t)n >= sizeof(path) || access(path, R_OK))
		return NULL;
	return dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
}

static int load_error(const struct module_want *want, const char *dir, struct err *err)
{
	const char *why = dlerror();

	if (why)
		return err_set(err, -ELIBBAD, "%s: cannot load its module: %s; is %s installed?",
			       want->asked, why, want->library);
	return err_set(err, -ENOENT, "%s: its module %s is neither in %s nor in %s; install it "
		       "there, or take the device off the configuration", want->asked, want->file,
		       dir, VIADUCT_MODULE_DIR);
}

int module_open(const struct module_want *want, void **ret_module,
		const struct module_head **ret_table, struct err *err)
{
	const struct module_head *table;
	char dir[PATH_MAX] = "";
	void *module = NULL;

	dlerror();
	if (!program_dir(dir, sizeof(dir)))
		module = load(dir, want->file);
	if (!module)
		module = load(VIADUCT_MODULE_DIR, want->file);
	if (!module)
		return load_error(want, dir, err);
	table = dlsym(module, want->symbol);
	if (!table || strcmp(table->version, VIADUCT_VERSION) != 0) {
		err_set(err, -ELIBBAD, "%s: %s is of version %s, this program of %s; install both "
			"from one build", want->asked, want->file, table ? table->version :
			"unknown", VIADUCT_VERSION);
		dlclose(module);
		return -ELIBBAD;
	}
	*ret_module = module;
	*ret_table = table;
	return 0;
}

static bool program_at(const char *dir, const char *file, char *path, size_t size)
{
	int n = snprintf(path, size, "%s/%s", dir, file);

	return n >= 0 && (size_t)n < size && !access(path, X_OK);
}

int module_find_program(const char *file, char *path, size_t size, struct err *err)
{
	char dir[PATH_MAX] = "";

	if ((!program_dir(dir, sizeof(dir)) && program_at(dir, file, path, size)) ||
	    program_at(VIADUCT_LIBEXEC_DIR, file, path, size))
		return 0;
	return err_set(err, -ENOENT, "the program %s is neither in %s nor in %s, or may not be run; "
				     "install it there", file, dir, VIADUCT_LIBEXEC_DIR);
}
