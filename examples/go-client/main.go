// Lists the dead letters, and retries the one that is named: ringback-client [JOB_ID REQUEST_ID]
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	metricsv1 "example.com/ringback-client/gen/ringback/metrics/v1"
)

// Calls are shared among all addresses of the name. Only reads, and changes with a request id, are repeated.
const serviceConfig = `{
  "loadBalancingConfig": [{"round_robin": {}}],
  "methodConfig": [{
    "name": [
      {"service": "ringback.metrics.v1.MetricsService"},
      {"service": "ringback.metrics.v1.AdminService", "method": "RetryDelivery"}
    ],
    "retryPolicy": {
      "maxAttempts": 5, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
      "retryableStatusCodes": ["UNAVAILABLE"]
    }
  }]
}`

type token string

func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

func (t token) RequireTransportSecurity() bool { return false }

func main() {
	connection, err := grpc.Dial(
		"dns:///"+os.Getenv("RINGBACK_METRICS_URL"),
		grpc.WithInsecure(),
		grpc.WithPerRPCCredentials(token(os.Getenv("RINGBACK_TOKEN"))),
		grpc.WithDefaultServiceConfig(serviceConfig),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()

	if err := list(metricsv1.NewMetricsServiceClient(connection)); err != nil {
		log.Fatal(err)
	}
	if len(os.Args) == 3 {
		retry(metricsv1.NewAdminServiceClient(connection), os.Args[1], os.Args[2])
	}
}

func list(metrics metricsv1.MetricsServiceClient) error {
	for pageToken := ""; ; {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		page, err := metrics.ListDeadLetters(ctx, &metricsv1.ListDeadLettersRequest{PageToken: pageToken})
		cancel()
		if err != nil {
			return err
		}
		for _, letter := range page.DeadLetters {
			fmt.Println("dead:", letter.JobId, letter.EventType, letter.GetErrorClass())
		}
		if pageToken = page.NextPageToken; pageToken == "" {
			return nil
		}
	}
}

// The same request id gets the same answer, so this call can be repeated.
func retry(admin metricsv1.AdminServiceClient, jobID, requestID string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	answer, err := admin.RetryDelivery(ctx, &metricsv1.RetryDeliveryRequest{
		JobId: jobID, Reason: "The CRM is back.", RequestId: requestID,
	})
	if err == nil {
		fmt.Println("retried as", answer.NewJobId)
		return
	}
	refused := status.Convert(err)
	for _, detail := range refused.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			fmt.Println("not retried:", info.Reason, refused.Message())
			return
		}
	}
	log.Fatal(err)
}
