// Package auth says who is asking, and what they may see and do.
//
// People sign in with a password and get a session, carried by a cookie; programs carry an API token. Both become a
// [Principal], whose rights are one table ([Action]). The package needs a [table.Table], a clock and a source of randomness,
// and nothing else: it runs the same on both backends, and it keeps no state of its own between calls, so that any number of
// processes may serve the same people.
//
// # What is stored
//
// No secret is stored: a password as argon2id, every other credential as the SHA-256 of 256 random bits, which needs no salt
// because it cannot be guessed. <hash> is that SHA-256 in base64url without padding.
//
//	U#user#<id>        A            the user, with password hash and generation
//	U#email#<hash>     A            which user an e-mail address belongs to (hash of it in lower case)
//	U#session#<hash>   A            a session: user, generation, times
//	U#token#<hash>     A            an API token
//	U#invite#<hash>    A            an invitation or a password reset, until it is used
//	U#setup            A            which invitation is the set-up link in force
//	U#list             user#<id>    what lists show of a user, without the password hash
//	                   token#<id>   what lists show of an API token, and the hash to find it by
//	                   invite#<id>  what lists show of an invitation, and the hash to find it by
//	W#ticket#<hash>    A            a socket ticket, 30 s
//	B#signin#<what>#…  A            failed sign-ins: by user and address, by address, by user
//
// An item of U#list is written in the transaction that writes what it tells of. A session holds the generation that its user
// had when it was made; raising the user's generation (a new password, a lost role, being disabled) ends every session at
// once, without a list of them to go through.
package auth
