package metrics

import "testing"

func TestTwoFieldsOfOneNameAreRefused(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("two fields of one name are taken")
		}
	}()
	mustName(commonFields, []field{{name: pathFields[0].name}}, pathFields)
}
