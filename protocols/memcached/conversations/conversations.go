// Package conversations are how Memcached is spoken, with secrets, for tests.
package conversations

import "millrace.dev/protocols/edge/edgetest"

// List gives the conversations.
func List() []edgetest.Conversation {
	return []edgetest.Conversation{
		{
			Name: "text",
			Pieces: []edgetest.Piece{
				edgetest.Client("set auth 0 0 27\r\nsomebody hunter2hunter2 xyz\r\n"), edgetest.Server("STORED\r\n"),
				edgetest.Client("set user:1 5 60 20\r\ncorrect horse batter\r\n"), edgetest.Server("STORED\r\n"),
				edgetest.Client("gets user:1 user:2\r\n"),
				edgetest.Server("VALUE user:1 5 20 77\r\ncorrect horse batter\r\nVALUE user:2 0 0 78\r\n\r\nEND\r\n"),
				edgetest.Client("cas user:1 0 0 20 77 noreply\r\nVALUE battery staple\r\nincr n 5\r\n"), edgetest.Server("9182736450\r\n"),
				edgetest.Client("stats items\r\n"), edgetest.Server("STAT pid battery staple\r\nEND\r\n"),
				edgetest.Client("passwordpassword hunter2hunter2\r\n"), edgetest.Server("ERROR\r\n"),
				edgetest.Client("incr user:1 hunter2hunter2\r\n"), edgetest.Server("CLIENT_ERROR bad hunter2hunter2 chunk\r\n"),
			},
			Secrets: []string{"somebody hunter2hunter2 xyz", "hunter2hunter2", "correct horse batter", "battery staple", "9182736450", "passwordpassword"},
			Kept: []string{
				"set user:1 5 60 20\r\n", "VALUE user:1 5 20 77\r\n", "VALUE user:2 0 0 78\r\n", "cas user:1 0 0 20 77 noreply\r\n", "stats *****\r\n",
				"STAT *** ******* ******\r\n", "CLIENT_ERROR bad ************** chunk\r\n",
			},
		},
		{
			Name: "meta",
			Pieces: []edgetest.Piece{
				edgetest.Client("mn\r\n"), edgetest.Server("MN\r\n"), // by these the connection is recognised
				edgetest.Client("ms a:1 18 T60 F5 Phunter2hunter2\r\nmg battery staples\r\n"), edgetest.Server("HD\r\n"),
				edgetest.Client("mg a:1 v t k Oabc q\r\nmn\r\n"), edgetest.Server("VA 18 t60 ka:1 Oabc\r\nmg battery staples\r\nMN\r\n"),
				edgetest.Client("me a:1\r\n"), edgetest.Server("ME a:1 exp=hunter2hunter2\r\n"),
			},
			Secrets: []string{"hunter2hunter2", "mg battery staples"},
			Kept:    []string{"ms a:1 18 T60 F5 P", "mg a:1 v t k Oabc q\r\nmn\r\n", "VA 18 t60 ka:1 Oabc\r\n", "MN\r\n"},
		},
	}
}
