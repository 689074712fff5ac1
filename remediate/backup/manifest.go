// Package backup keeps what a run replaces: in the run's folder on the host, and by content on the controller.
package backup

import "mtaharden/remediate/plan"

// Manifest is what a run changes on one host, with everything that putting it back needs. It is durable on the host before the first
// live file changes.
type Manifest struct {
	Run   string `json:"run"`
	Items []Item `json:"items"` // in the order in which they go live; a restore takes them from the end
	// Reload follows the swap, and follows the restore too: the daemons then use the files that stand there.
	Reload []plan.Command `json:"reload"`
	// Owners are the accounts beside root that may own the directories of the items, Roots the MTA's own directories: a rollback saves the same
	// places again.
	Owners []string `json:"owners,omitempty"`
	Roots  []string `json:"roots,omitempty"`
}

// Item is one thing that a run changes.
type Item struct {
	Kind   plan.ChangeKind `json:"kind"`
	Path   string          `json:"path"`            // resolved and clean; no component of it is a link
	Named  string          `json:"named,omitempty"` // the path as the plan names it, where that leads through a link
	Before State           `json:"before"`
	After  State           `json:"after"`
	// Kept says that the run's folder holds the original inode by a hard link, keep/N: owner, mode, ACL, xattr, label and mtime come back
	// with one mv. The copy by content, copy/N, is there in any case (N counts the items from 1).
	Kept bool `json:"kept"`
	// Last says that the item goes live after the reload: a deletion of what the running daemons still use.
	Last bool `json:"last,omitempty"`
	// Service is what a change of kind service starts, stops, enables or disables; Path is then its unit file or start script.
	Service *plan.Service `json:"service,omitempty"`
}

// State is what stands at an item's path.
type State struct {
	Absent bool   `json:"absent,omitempty"` // there is no file
	Hash   string `json:"hash,omitempty"`   // "sha256:HEX", or what the host has in its place: "cksum:CRC SIZE"
	Size   int64  `json:"size,omitempty"`
	UID    int    `json:"uid"`
	GID    int    `json:"gid"`
	Mode   string `json:"mode,omitempty"` // octal, "0644"
}
