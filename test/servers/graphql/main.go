// Command graphql is a server of GraphQL with users, for tests. Its argument is the port.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/graphql-go/graphql"
)

// unknown is an error with a code.
type unknown struct{}

func (unknown) Error() string { return "there is no such user" }
func (unknown) Extensions() map[string]interface{} {
	return map[string]interface{}{"code": "NOT_FOUND"}
}

func main() {
	user := graphql.NewObject(graphql.ObjectConfig{Name: "User", Fields: graphql.Fields{"name": &graphql.Field{Type: graphql.String}}})
	find := &graphql.Field{
		Type: user, Args: graphql.FieldConfigArgument{"id": &graphql.ArgumentConfig{Type: graphql.ID}},
		Resolve: func(p graphql.ResolveParams) (interface{}, error) {
			if p.Args["id"] == "none" {
				return nil, unknown{}
			}
			return map[string]string{"name": "Joe"}, nil
		},
	}
	schema, err := graphql.NewSchema(graphql.SchemaConfig{
		Query:    graphql.NewObject(graphql.ObjectConfig{Name: "Query", Fields: graphql.Fields{"user": find}}),
		Mutation: graphql.NewObject(graphql.ObjectConfig{Name: "Mutation", Fields: graphql.Fields{"addUser": find}}),
	})
	if err == nil {
		err = http.ListenAndServe("127.0.0.1:"+os.Args[1], handler(schema))
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func handler(schema graphql.Schema) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Query         string                 `json:"query"`
			OperationName string                 `json:"operationName"`
			Variables     map[string]interface{} `json:"variables"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(graphql.Do(graphql.Params{
			Schema: schema, RequestString: q.Query, OperationName: q.OperationName, VariableValues: q.Variables, Context: r.Context(),
		}))
	})
}
