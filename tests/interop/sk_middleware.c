/* A security key in software, for ssh-keygen and ssh-agent (SSH_SK_PROVIDER): Ed25519 alone.
 *
 * The interface is OpenSSH's sk-api.h, version 10; what is signed stands in its PROTOCOL.u2f. The handle of
 * a key is its private half: nothing is protected here.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/sha.h>

#define VERSION 0x000a0000
#define ALG_ED25519 1
#define ERR_GENERAL -1
#define ERR_UNSUPPORTED -2
#define HALF 32

struct sk_option;

struct sk_enroll_response {
    uint8_t flags;
    uint8_t *public_key;
    size_t public_key_len;
    uint8_t *key_handle;
    size_t key_handle_len;
    uint8_t *signature;
    size_t signature_len;
    uint8_t *attestation_cert;
    size_t attestation_cert_len;
    uint8_t *authdata;
    size_t authdata_len;
};

struct sk_sign_response {
    uint8_t flags;
    uint32_t counter;
    uint8_t *sig_r;
    size_t sig_r_len;
    uint8_t *sig_s;
    size_t sig_s_len;
};

struct sk_resident_key;

uint32_t sk_api_version(void) { return VERSION; }

int sk_enroll(uint32_t alg, const uint8_t *challenge, size_t challenge_len, const char *application,
              uint8_t flags, const char *pin, struct sk_option **options,
              struct sk_enroll_response **answer) {
    (void)challenge, (void)challenge_len, (void)application, (void)pin, (void)options;
    if (alg != ALG_ED25519) {
        return ERR_UNSUPPORTED;
    }
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    struct sk_enroll_response *made = calloc(1, sizeof *made);
    if (key == NULL || made == NULL) {
        return ERR_GENERAL;
    }
    made->flags = flags;
    made->public_key_len = made->key_handle_len = HALF;
    made->public_key = malloc(HALF);
    made->key_handle = malloc(HALF);
    made->signature = calloc(1, 1);
    made->signature_len = 1;
    EVP_PKEY_get_raw_public_key(key, made->public_key, &made->public_key_len);
    EVP_PKEY_get_raw_private_key(key, made->key_handle, &made->key_handle_len);
    EVP_PKEY_free(key);
    *answer = made;
    return 0;
}

int sk_sign(uint32_t alg, const uint8_t *data, size_t data_len, const char *application,
            const uint8_t *handle, size_t handle_len, uint8_t flags, const char *pin,
            struct sk_option **options, struct sk_sign_response **answer) {
    (void)pin, (void)options;
    if (alg != ALG_ED25519 || handle_len != HALF) {
        return ERR_UNSUPPORTED;
    }
    static uint32_t counter = 0;
    counter++;
    uint8_t text[SHA256_DIGEST_LENGTH * 2 + 5], *at = text;
    SHA256((const uint8_t *)application, strlen(application), at);
    at += SHA256_DIGEST_LENGTH;
    *at++ = flags;
    for (int shift = 24; shift >= 0; shift -= 8) {
        *at++ = (uint8_t)(counter >> shift);
    }
    SHA256(data, data_len, at);

    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, handle, handle_len);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    struct sk_sign_response *made = calloc(1, sizeof *made);
    if (key == NULL || context == NULL || made == NULL) {
        return ERR_GENERAL;
    }
    made->flags = flags;
    made->counter = counter;
    made->sig_r_len = 64;
    made->sig_r = malloc(made->sig_r_len);
    int done = EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
               EVP_DigestSign(context, made->sig_r, &made->sig_r_len, text, sizeof text) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    *answer = made;
    return done ? 0 : ERR_GENERAL;
}

int sk_load_resident_keys(const char *pin, struct sk_option **options, struct sk_resident_key ***keys,
                          size_t *count) {
    (void)pin, (void)options, (void)keys, (void)count;
    return ERR_UNSUPPORTED;
}
