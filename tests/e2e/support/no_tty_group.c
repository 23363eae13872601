/*
 * Loaded into an ordinary user's sshd where /dev/pts is mounted without `gid=tty`, as in many
 * containers: there sshd wants to give each terminal to the group tty, which only root may do.
 * Where the group does not exist, sshd leaves the terminal to the user's own group.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <grp.h>
#include <string.h>

struct group *getgrnam(const char *name)
{
	struct group *(*next)(const char *);

	if (strcmp(name, "tty") == 0)
		return NULL;
	*(void **)&next = dlsym(RTLD_NEXT, "getgrnam");
	return next(name);
}
