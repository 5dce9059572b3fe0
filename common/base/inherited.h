/* What a parent leaves to a program beside its arguments: what signals do, which of them are held
 * back, the three standard descriptors. Settled once, first thing in both mains, so that nothing
 * further in depends on who started us (a shell, nohup, a supervisor, a container's runtime). */
#ifndef SPINDLE_COMMON_BASE_INHERITED_H
#define SPINDLE_COMMON_BASE_INHERITED_H

/* After it, whatever was left:
 * - SIGPIPE and SIGXFSZ are ignored: a write to somebody who has hung up, or past a file limit,
 *   fails where it is made (EPIPE, EFBIG) and ends no program;
 * - SIGTERM and SIGCHLD have their default action, until somebody handles them;
 * - no signal is held back;
 * - descriptors 0, 1 and 2 are open, so that no socket becomes the standard output. Those that were
 *   closed fail as before: reading for 0, writing for 1 and 2.
 * SIGHUP, SIGINT and SIGQUIT stay as they are: nohup and a shell's background jobs have them
 * ignored for a command on purpose. `run` handles them in any case. Before any thread; argv is
 * main's own, for the case that a library has taken a standard descriptor and the program has to
 * begin anew. */
void inherited_settle(char **argv);

#endif
