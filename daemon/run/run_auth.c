/* addauth: what a credential proves. */
#include "daemon/run/run_int.h"

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <string.h>

/* ZooKeeper's digest scheme: user:base64(sha1("user:password")). It always succeeds: a wrong password is just
 * another identity. */
static void digest_identity(struct rt_slice credential, struct rt_buf *out)
{
	uint8_t sha[SHA_DIGEST_LENGTH];
	uint8_t text[4 * ((SHA_DIGEST_LENGTH + 2) / 3) + 1];
	const uint8_t *colon = credential.len > 0 ? memchr(credential.p, ':', credential.len)
						  : NULL;
	size_t user = colon != NULL ? (size_t)(colon - credential.p) : credential.len;
	SHA1(credential.p, credential.len, sha);
	int n = EVP_EncodeBlock(text, sha, sizeof sha);
	rt_buf_put(out, credential.p, user);
	rt_buf_char(out, ':');
	rt_buf_put(out, text, (size_t)n);
}

void auth_answer(struct run_io *io, const struct srv_auth *auth)
{
	if (rt_slice_is(auth->scheme, "ip")) {
		srv_auth_answer(io->srv, auth->conn, true); /* its address was known before */
		return;
	}
	if (!rt_slice_is(auth->scheme, "digest")) {
		srv_auth_answer(io->srv, auth->conn, false);
		return;
	}
	struct rt_buf id;
	rt_buf_init(&id, UINT32_MAX / 2);
	digest_identity(auth->credential, &id);
	struct rt_slice slice = rt_slice_of(id.p, id.len);
	const char *super = io->run->conf->super_digest;
	bool fits = true;
	if (super != NULL && rt_slice_is(slice, super))
		fits = srv_auth_add(io->srv, auth->conn, rt_slice_str("super"), rt_slice_str(""));
	fits = fits && srv_auth_add(io->srv, auth->conn, rt_slice_str("digest"), slice);
	srv_auth_answer(io->srv, auth->conn, fits);
	rt_buf_done(&id);
}
