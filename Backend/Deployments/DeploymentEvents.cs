using System.Globalization;
using Microsoft.Extensions.Options;
using Platform.Backend.Database;
using Platform.Backend.Owners;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Deployments;

/// <summary>One event of a deployment.</summary>
/// <param name="Number">From 1, without gaps.</param>
/// <param name="Deployment">The deployment as it was then, as JSON.</param>
/// <param name="IsFinal">Whether the deployment's status was final then.</param>
internal sealed record DeploymentEvent(int Number, string Deployment, bool IsFinal);

/// <summary>Reads the events of one of the caller's deployments.</summary>
internal sealed class ReadDeploymentEvents(Caller caller, PostgresDatabase database)
{
    private const int Batch = 100;

    /// <summary>
    /// Up to 100 events after number <paramref name="after"/>. <c>Ended</c> is true if they include the last one and the deployment is final. Null if the caller has
    /// no such deployment.
    /// </summary>
    public Task<(IReadOnlyList<DeploymentEvent> Events, bool Ended)?> ExecuteAsync(Guid deploymentId, int after, CancellationToken cancellationToken) => database.ReadAsync<(IReadOnlyList<DeploymentEvent> Events, bool Ended)?>(async connection =>
    {
        await using var command = connection.Command(
            $"""
            select deployments.events, deployments.status in ('live', 'failed', 'superseded', 'cancelled'), e.number, e.deployment, e.deployment ->> 'status'
            from deployments
            left join lateral (
              select * from deployment_events where deployment_id = deployments.id and number > $3 order by number limit {Batch}) e on true
            where deployments.id = $1 and {DeploymentRows.IsCallers}
            order by e.number
            """,
            deploymentId, caller.OnlyOf, after);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var events = new List<DeploymentEvent>();
        (int Last, bool IsFinal)? deployment = null;
        while (await reader.ReadAsync(cancellationToken))
        {
            deployment = (reader.GetInt32(0), reader.GetBoolean(1));
            if (!reader.IsDBNull(2))
                events.Add(new(reader.GetInt32(2), reader.GetString(3), DeploymentStatus.IsFinal(reader.GetString(4))));
        }

        return deployment is { } found ? (events, found.IsFinal && (events.Count == 0 || events[^1].Number == found.Last)) : null;
    }, cancellationToken);
}

/// <summary>
/// Server-sent events of a deployment, from the one after number <paramref name="after"/> until the deployment is final. A client that reconnects with
/// <c>Last-Event-ID</c> gets each event exactly once. After the last event it gets 204, which tells browsers not to reconnect.
/// </summary>
internal sealed class DeploymentEventStream(Guid deploymentId, int after) : IResult
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(1);

    // Then the client reconnects and is authenticated again, so that a revoked key can't keep listening.
    private static readonly TimeSpan MaxDuration = TimeSpan.FromMinutes(5);

    public async Task ExecuteAsync(HttpContext httpContext)
    {
        var services = httpContext.RequestServices;
        var read = services.GetRequiredService<ReadDeploymentEvents>();
        var signal = services.GetRequiredService<Signals>()[DeploymentRows.SignalName];
        var time = services.GetRequiredService<TimeProvider>();
        var heartbeat = services.GetRequiredService<IOptions<DeploymentEventOptions>>().Value.Heartbeat;
        using var stopping = CancellationTokenSource.CreateLinkedTokenSource(
            httpContext.RequestAborted, services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping);
        var response = httpContext.Response;
        var last = after;
        try
        {
            var seen = signal.Version;
            var found = await read.ExecuteAsync(deploymentId, last, stopping.Token);
            if (found is null)
            {
                await DeploymentProblems.NotFound(deploymentId).ExecuteAsync(httpContext);
                return;
            }

            if (found is { Ended: true, Events.Count: 0 })
            {
                response.StatusCode = StatusCodes.Status204NoContent;
                return;
            }

            response.ContentType = "text/event-stream";
            response.Headers.CacheControl = "no-cache, no-store";
            response.Headers["X-Accel-Buffering"] = "no";
            await response.WriteAsync("retry: 1000\n\n", stopping.Token);
            var sentAt = time.GetTimestamp();
            var began = sentAt;
            while (true)
            {
                foreach (var happened in found.Value.Events)
                {
                    await response.WriteAsync(Format(happened), stopping.Token);
                    last = happened.Number;
                    sentAt = time.GetTimestamp();
                }

                if (time.GetElapsedTime(sentAt) >= heartbeat)
                {
                    await response.WriteAsync(": waiting\n\n", stopping.Token);
                    sentAt = time.GetTimestamp();
                }

                await response.Body.FlushAsync(stopping.Token);
                if (found.Value.Ended || time.GetElapsedTime(began) >= MaxDuration)
                    return;
                if (found.Value.Events.Count == 0)
                    await signal.WaitAsync(seen, PollInterval, stopping.Token);
                seen = signal.Version;
                found = await read.ExecuteAsync(deploymentId, last, stopping.Token);
                if (found is null)
                    return;
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // The client disconnected, or this process is stopping and the client will reconnect to another one.
        }
        catch (Exception exception) when (response.HasStarted && DatabaseProblems.IsUnavailable(exception))
        {
            // The stream ends. The client reconnects and gets 503 until the database is available.
        }
    }

    private static string Format(DeploymentEvent happened) => string.Create(
        CultureInfo.InvariantCulture, $"id: {happened.Number}\nevent: {(happened.IsFinal ? "finished" : "progressed")}\ndata: {happened.Deployment}\n\n");
}
