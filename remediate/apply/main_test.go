package apply

import (
	"os"
	"testing"

	"mtaharden/remediate/remote/remotetest"
)

func TestMain(m *testing.M) {
	if remotetest.IsFileServer() {
		os.Exit(0)
	}
	os.Exit(remotetest.AtOnce(m))
}
