package cli

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	ucli "github.com/urfave/cli/v2"

	"truceline/internal/durable"
	"truceline/node"
	"truceline/treaty"
)

// roles are a nation's three keys, one file each.
var roles = []treaty.KeyRole{treaty.RoleTreaty, treaty.RoleCosign, treaty.RoleNode}

func keyPath(dir string, r treaty.KeyRole) string { return filepath.Join(dir, r.String()+".key") }

func keysCommand() *ucli.Command {
	return &ucli.Command{
		Name: "keys", Usage: "a nation's private keys", Subcommands: []*ucli.Command{
			{
				Name: "new", Usage: "make the three keys of a nation; never overwrites", Action: keysNew,
				Description: "Writes treaty.key, cosign.key and node.key, readable by you alone, and prints the fingerprints of the\n" +
					"public keys. The private keys never leave this machine. Next: truceline accord card.",
				Flags: []ucli.Flag{text("nation", "", "ISO 3166-1 alpha-3 `CODE`, such as POL"), text("dir", "", "the keys' `FOLDER`, made if missing"), jsonFlag()},
			},
			{
				Name: "show", Usage: "show the fingerprints of a nation's public keys", Action: keysShow,
				Flags: []ucli.Flag{text("nation", "", "whose keys (`CODE`)"), text("dir", "", "the keys' `FOLDER`"), jsonFlag()},
			},
		},
	}
}

// nationFlag reads --nation.
func nationFlag(c *ucli.Context) (treaty.Nation, error) {
	k := treaty.Nation(c.String("nation"))
	if !k.Valid() {
		return "", usagef("--nation %q: want three capital letters (ISO 3166-1 alpha-3), such as POL", c.String("nation"))
	}
	return k, nil
}

func keysNew(c *ucli.Context) error {
	if err := errors.Join(need(c, "nation", "dir"), want(c, 0, 0, "no arguments")); err != nil {
		return refused(err)
	}
	nation, err := nationFlag(c)
	if err != nil {
		return err
	}
	dir := c.String("dir")
	// All three first: half a set would be worse than none.
	for _, r := range roles {
		if _, err := os.Lstat(keyPath(dir, r)); !errors.Is(err, fs.ErrNotExist) {
			if err == nil {
				err = durable.ErrExists
			}
			return usagef("%s: %w; give another --dir, or move the old keys away by hand (a nation that changes keys needs a new accord)",
				keyPath(dir, r), err)
		}
	}
	if err := makeDir(dir, 0o700); err != nil {
		return err
	}
	public := map[treaty.KeyRole]ed25519.PublicKey{}
	for _, r := range roles {
		pub, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			return fmt.Errorf("make the %s key: %w", r, err)
		}
		f := treaty.KeyFile{Nation: nation, Role: r, Private: private}
		if err := durable.CreateNew(keyPath(dir, r), f.Encode(), 0o600); err != nil {
			return refused(err)
		}
		public[r] = pub
	}
	if err := showKeys(c, nation, dir, public); err != nil || c.Bool("json") {
		return err
	}
	hint(c, "Keep a sealed copy where you keep seals of state, and never start a second node with it.\n"+
		"Next: truceline accord card --nation %s --name NAME --keys %s\n", nation, dir)
	return nil
}

func keysShow(c *ucli.Context) error {
	if err := errors.Join(need(c, "nation", "dir"), want(c, 0, 0, "no arguments")); err != nil {
		return refused(err)
	}
	nation, err := nationFlag(c)
	if err != nil {
		return err
	}
	keys, err := LoadKeys(c.String("dir"), nation)
	if err != nil {
		return refused(err)
	}
	return showKeys(c, nation, c.String("dir"), map[treaty.KeyRole]ed25519.PublicKey{
		treaty.RoleTreaty: keys.Treaty.Public().(ed25519.PublicKey),
		treaty.RoleCosign: keys.Cosign.Public().(ed25519.PublicKey),
		treaty.RoleNode:   keys.Node.Public().(ed25519.PublicKey),
	})
}

// keyView is one public key.
type keyView struct {
	Role        treaty.KeyRole `json:"role"`
	File        string         `json:"file"`
	Public      []byte         `json:"public"`
	Fingerprint string         `json:"fingerprint"`
}

func showKeys(c *ucli.Context, nation treaty.Nation, dir string, public map[treaty.KeyRole]ed25519.PublicKey) error {
	var keys []keyView
	for _, r := range roles {
		print := strings.ReplaceAll(treaty.HashOf(public[r]).Fingerprint(), "\n", " ")
		keys = append(keys, keyView{r, keyPath(dir, r), public[r], print})
	}
	if c.Bool("json") {
		return printJSON(c, map[string]any{"nation": nation, "keys": keys})
	}
	for _, k := range keys {
		say(c, "%s %-6s  %s\n%12s%s\n", nation, k.Role, k.File, "", k.Fingerprint)
	}
	return nil
}

// LoadKeys reads a nation's three private keys. The error names every file that cannot be used and what to do.
func LoadKeys(dir string, nation treaty.Nation) (node.Keys, error) {
	var ks node.Keys
	var errs []error
	for _, r := range roles {
		private, err := loadKey(keyPath(dir, r), nation, r)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		switch r {
		case treaty.RoleTreaty:
			ks.Treaty = private
		case treaty.RoleCosign:
			ks.Cosign = private
		case treaty.RoleNode:
			ks.Node = private
		}
	}
	return ks, errors.Join(errs...)
}

func loadKey(path string, nation treaty.Nation, r treaty.KeyRole) (ed25519.PrivateKey, error) {
	b, err := durable.ReadKey(path, treaty.MaxKeyFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no %s key at %s: make keys with truceline keys new, or name their folder", r, path)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("%w: run this as the account that owns the keys", err)
	case errors.Is(err, durable.ErrExposed):
		return nil, fmt.Errorf("%w: if nobody has read it, chmod 600 %s; if somebody may have, make new keys and a new accord", err, path)
	case err != nil:
		return nil, err
	}
	k, err := treaty.ParseKeyFile(b, nation, r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return k.Private, nil
}
