/* SPDX-License-Identifier: MIT
 *
 * pem - the public key in a PEM file, as its numbers: of a public key (RFC 5280 section 4.1.2.7), an RSA
 * public key (RFC 8017 section A.1.1), or a certificate, of which nothing else is looked at.
 */
#ifndef PEM_H
#define PEM_H

#include "text.h"

enum pem_kind {
    PEM_MEMORY, /* memory is short */
    PEM_NONE,   /* no such thing in PEM */
    PEM_OTHER,  /* a key of another kind */
    PEM_RSA,
    PEM_EC
};

struct pem_key {
    struct span modulus, exponent; /* of PEM_RSA, big-endian */
    struct span curve, point;      /* of PEM_EC: an object identifier as in DER, SEC 1 */
    char *der;                     /* the numbers are views of it */
};

/* Reads the first key of a text. */
enum pem_kind pem_read(struct pem_key *key, struct span text);

void pem_finish(struct pem_key *key); /* whatever came of it */

#endif
