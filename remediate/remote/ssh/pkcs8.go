package ssh

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/scrypt"
)

// encryptedPKCS8 reports whether a file is a PKCS #8 key that is encrypted (RFC 5958, 3; RFC 7468, 11), as openssl pkcs8 and openssl genpkey write it.
func encryptedPKCS8(data []byte) bool {
	block, _ := pem.Decode(data)
	return block != nil && block.Type == "ENCRYPTED PRIVATE KEY"
}

// The structures of PBES2 (RFC 8018, appendix A; scrypt: RFC 7914, 7).
type (
	encryptedKey struct {
		Algorithm pkix.AlgorithmIdentifier
		Data      []byte
	}
	pbes2Params struct {
		KDF    pkix.AlgorithmIdentifier
		Cipher pkix.AlgorithmIdentifier
	}
	pbkdf2Params struct {
		Salt       []byte
		Iterations int
		Length     int                      `asn1:"optional"`
		PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
	}
	scryptParams struct {
		Salt    []byte
		N, R, P int
		Length  int `asn1:"optional"`
	}
)

// Bounds of what a key file may have this program compute: openssl's own defaults are far below.
const (
	maxIterations = 2_000_000
	maxScrypt     = 1 << 18 // N times r: 32 MiB
)

// keyCipher is an encryption scheme of PBES2 in CBC mode.
type keyCipher struct {
	size int
	new  func([]byte) (cipher.Block, error)
}

// keyCiphers are by their object identifiers: RFC 8018, B.2, and NIST's.
var keyCiphers = map[string]keyCipher{
	"1.2.840.113549.3.7":      {24, des.NewTripleDESCipher},
	"2.16.840.1.101.3.4.1.2":  {16, aes.NewCipher},
	"2.16.840.1.101.3.4.1.22": {24, aes.NewCipher},
	"2.16.840.1.101.3.4.1.42": {32, aes.NewCipher},
}

// keyHashes are the pseudo-random functions of PBKDF2 (RFC 8018, B.1); "" is the default.
var keyHashes = map[string]func() hash.Hash{
	"": sha1.New, "1.2.840.113549.2.7": sha1.New, "1.2.840.113549.2.9": sha256.New, "1.2.840.113549.2.11": sha512.New,
}

// openPKCS8 decrypts a key. The error is x509.IncorrectPasswordError where the passphrase is wrong.
func openPKCS8(data, phrase []byte) (any, error) {
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("it is no PEM file")
	}
	var sealed encryptedKey
	if _, err := asn1.Unmarshal(block.Bytes, &sealed); err != nil {
		return nil, errors.New("its encryption is not described as in RFC 5958")
	}
	var scheme pbes2Params
	if _, err := asn1.Unmarshal(sealed.Algorithm.Parameters.FullBytes, &scheme); err != nil || sealed.Algorithm.Algorithm.String() != "1.2.840.113549.1.5.13" {
		return nil, fmt.Errorf("it is encrypted by the scheme %s and not by PBES2", sealed.Algorithm.Algorithm)
	}
	c, ok := keyCiphers[scheme.Cipher.Algorithm.String()]
	var iv []byte
	if _, err := asn1.Unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil || !ok {
		return nil, fmt.Errorf("it is encrypted by the cipher %s", scheme.Cipher.Algorithm)
	}
	key, err := deriveKey(scheme.KDF, phrase, c.size)
	if err != nil {
		return nil, err
	}
	b, err := c.new(key)
	if err != nil {
		return nil, err
	}
	plain := sealed.Data
	if len(iv) != b.BlockSize() || len(plain) == 0 || len(plain)%b.BlockSize() != 0 {
		return nil, errors.New("its encrypted part is cut")
	}
	cipher.NewCBCDecrypter(b, iv).CryptBlocks(plain, plain)
	defer clear(plain)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > b.BlockSize() {
		return nil, x509.IncorrectPasswordError
	}
	opened, err := x509.ParsePKCS8PrivateKey(plain[:len(plain)-pad])
	if err != nil {
		return nil, x509.IncorrectPasswordError // padding that is right by chance
	}
	return opened, nil
}

func deriveKey(kdf pkix.AlgorithmIdentifier, phrase []byte, size int) ([]byte, error) {
	switch kdf.Algorithm.String() {
	case "1.2.840.113549.1.5.12":
		var p pbkdf2Params
		_, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p)
		h, ok := keyHashes[p.PRF.Algorithm.String()]
		if err != nil || !ok || p.Iterations < 1 || p.Iterations > maxIterations {
			return nil, errors.New("its key is derived by a PBKDF2 that is not known here")
		}
		return pbkdf2.Key(h, string(phrase), p.Salt, p.Iterations, size)
	case "1.3.6.1.4.1.11591.4.11":
		var p scryptParams
		if _, err := asn1.Unmarshal(kdf.Parameters.FullBytes, &p); err != nil || p.R < 1 || p.R > 64 || p.P < 1 || p.P > 64 || p.N < 2 || p.N > maxScrypt/p.R {
			return nil, errors.New("its key is derived by a scrypt that takes too much")
		}
		return scrypt.Key(phrase, p.Salt, p.N, p.R, p.P, size)
	}
	return nil, fmt.Errorf("its key is derived by %s", kdf.Algorithm)
}
