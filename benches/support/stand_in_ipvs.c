/* A stand-in for the IPVS family of the kernel, for keepalived's health checks on a kernel that has none: preloaded, it
 * has each request to that family succeed and answer nothing. */

struct nl_sock;
struct nl_msg;
typedef int (*handler)(struct nl_msg *, void *);

/* As enum nl_cb_type of libnl has them. */
enum { FINISH = 1, ACK = 4, TYPES = 16 };

static handler handlers[TYPES];
static void *arguments[TYPES];

int genl_ctrl_resolve(struct nl_sock *socket, const char *family)
{
	(void)socket, (void)family;
	return 127;
}

int nl_socket_modify_cb(struct nl_sock *socket, int type, int kind, handler handle, void *argument)
{
	(void)socket, (void)kind;
	if (type >= 0 && type < TYPES) {
		handlers[type] = handle;
		arguments[type] = argument;
	}
	return 0;
}

int nl_send_auto(struct nl_sock *socket, struct nl_msg *message)
{
	(void)socket, (void)message;
	return 1;
}

int nl_recvmsgs_default(struct nl_sock *socket)
{
	(void)socket;
	if (handlers[ACK])
		handlers[ACK](0, arguments[ACK]);
	if (handlers[FINISH])
		handlers[FINISH](0, arguments[FINISH]);
	return 0;
}
