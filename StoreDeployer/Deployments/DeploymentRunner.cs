using System.Diagnostics;
using System.Net;
using Microsoft.Extensions.Options;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Correlation;
using Platform.ServiceDefaults.Observability;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.StoreDeployer.Deployments.Queue;
using Platform.StoreDeployer.Releases;
using Platform.StoreDeployer.Rendering;

namespace Platform.StoreDeployer.Deployments;

/// <summary>Runs the steps of one claimed deployment and records its outcome.</summary>
internal sealed partial class DeploymentRunner(
    PrepareRelease prepareRelease,
    ActivateRelease activateRelease,
    RecordProgress recordProgress,
    FailDeployment failDeployment,
    ReturnDeployment returnDeployment,
    IOptions<DeploymentOptions> options,
    TimeProvider time,
    ILogger<DeploymentRunner> logger)
{
    private static readonly TimeSpan FirstBackOff = TimeSpan.FromMilliseconds(250);

    public async Task RunAsync(RunningDeployment running)
    {
        var job = running.Job;
        using var correlation = job.CorrelationId is null ? null : CorrelationContext.Begin(job.CorrelationId);
        using var activity = PlatformTelemetry.Source.StartActivity("deployment run", ActivityKind.Consumer, job.Traceparent);
        activity?.SetTag("platform.deployment.id", job.Id).SetTag("platform.shop.id", job.ShopId).SetTag("platform.deployment.kind", job.Kind);
        using var scope = logger.BeginScope(new Dictionary<string, object> { ["DeploymentId"] = job.Id, ["ShopId"] = job.ShopId, ["CorrelationId"] = job.CorrelationId ?? "" });

        using var progress = new StepProgress(running, recordProgress, options.Value.ProgressInterval, time);
        try
        {
            try
            {
                var release = await prepareRelease.ExecuteAsync(job, progress);
                var outcome = await progress.ActivateAsync(steps => activateRelease.ExecuteAsync(job, release, steps, running.Stopped));
                LogFinished(logger, job.Id, outcome.Text());
            }
            finally
            {
                // From here on only the code that records the outcome may write the steps.
                await progress.StopReportingAsync();
            }
        }
        catch (Exception e)
        {
            activity?.SetStatus(ActivityStatusCode.Error, e.Message);
            try
            {
                await EndAsync(running, progress, e);
            }
            catch (LeaseLostException)
            {
                LogLeaseLost(logger, job.Id);
            }
        }
    }

    private async Task EndAsync(RunningDeployment running, StepProgress progress, Exception exception)
    {
        var job = running.Job;
        var ending = CancellationToken.None;
        switch (exception)
        {
            case LeaseLostException:
            case OperationCanceledException when running.Reason == StopReason.LeaseLost:
                throw new LeaseLostException(job);

            case OperationCanceledException when running.Reason == StopReason.Cancelled:
                progress.Abandon(null);
                await failDeployment.ExecuteAsync(job, running.Steps, DeploymentStatus.Cancelled, null, ending);
                LogFinished(logger, job.Id, DeploymentStatus.Cancelled.Text());
                return;

            case OperationCanceledException when running.Reason == StopReason.DrainTimedOut:
                progress.Abandon(null);
                await returnDeployment.ExecuteAsync(job, running.Steps, ReturnReason.Draining, TimeSpan.Zero, null, ending);
                LogReturned(logger, job.Id, "this process is stopping");
                return;
        }

        if (WaitingFor(exception) is { } wait)
        {
            var error = new DeploymentError(wait.Code, wait.Message);
            progress.Abandon(error);
            var delay = wait.RetryAfter is { } after ? Min(after, options.Value.MaxBackOff) : BackOff(job.Waits);
            await returnDeployment.ExecuteAsync(job, running.Steps, ReturnReason.MustWait, delay, error, ending);
            LogWaiting(logger, job.Id, delay.TotalSeconds, wait.Message);
            return;
        }

        var permanent = exception switch
        {
            PermanentFailureException e => new DeploymentError(e.Code, e.Message),
            RenderException e => new DeploymentError(e.Code, e.Message),
            _ => null,
        };
        // Any other exception is unexpected. The log gets its details, the merchant only a generic message.
        var failure = permanent ?? (exception is TimeoutException
            ? new DeploymentError("step-timeout", exception.Message)
            : new DeploymentError("internal-error", "The step failed unexpectedly."));
        var failures = progress.Fail(failure);
        LogFailed(logger, permanent is null ? exception : null, job.Id, failure.Code, failure.Message);
        if (permanent is not null || failures >= options.Value.MaxFailures)
            await failDeployment.ExecuteAsync(job, running.Steps, DeploymentStatus.Failed, failure, ending);
        else
            await returnDeployment.ExecuteAsync(job, running.Steps, ReturnReason.StepFailed, BackOff(failures), failure, ending);
    }

    /// <summary>Converts an exception that only says that a dependency is unavailable; null for any other.</summary>
    private static MustWaitException? WaitingFor(Exception exception) => exception switch
    {
        MustWaitException wait => wait,
        // Polly's exception says that the resilience pipeline refused the call or timed out.
        DependencyUnavailableException or Polly.ExecutionRejectedException or HttpIOException or OperationCanceledException { InnerException: TimeoutException }
            or HttpRequestException { StatusCode: null or HttpStatusCode.RequestTimeout or (HttpStatusCode)425 or HttpStatusCode.TooManyRequests or >= HttpStatusCode.InternalServerError } =>
            new("dependency-unavailable", exception.Message, inner: exception),
        // The internal tokens of the two services differ. An operator must correct that; until then the deployment waits.
        HttpRequestException { StatusCode: HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden } e => new("dependency-refuses", e.Message, inner: e),
        _ when DatabaseProblems.IsUnavailable(exception) => new("database-unavailable", "The database does not answer.", inner: exception),
        _ => null,
    };

    // Jitter, so that deployments which failed together are not retried together.
    private TimeSpan BackOff(int earlierFailures) =>
        Min(options.Value.MaxBackOff, FirstBackOff * Math.Pow(2, Math.Min(earlierFailures, 20))) * (0.5 + Random.Shared.NextDouble() / 2);

    private static TimeSpan Min(TimeSpan one, TimeSpan other) => one < other ? one : other;

    [LoggerMessage(LogLevel.Information, "Deployment {DeploymentId} is {Status}")]
    private static partial void LogFinished(ILogger logger, Guid deploymentId, string status);

    [LoggerMessage(LogLevel.Warning, "Deployment {DeploymentId} was taken over by another worker")]
    private static partial void LogLeaseLost(ILogger logger, Guid deploymentId);

    [LoggerMessage(LogLevel.Information, "Returned deployment {DeploymentId} to the queue: {Reason}")]
    private static partial void LogReturned(ILogger logger, Guid deploymentId, string reason);

    [LoggerMessage(LogLevel.Warning, "Deployment {DeploymentId} will be retried in {Seconds:0.0} s: {Reason}")]
    private static partial void LogWaiting(ILogger logger, Guid deploymentId, double seconds, string reason);

    [LoggerMessage(LogLevel.Error, "A step of deployment {DeploymentId} failed with {Code}: {Reason}")]
    private static partial void LogFailed(ILogger logger, Exception? exception, Guid deploymentId, string code, string reason);
}
