using System.Text.Json;
using Platform.Backend.Console.Pages;
using Platform.Backend.Deployments;
using Platform.Backend.Owners;
using Platform.Backend.Shops;
using Platform.Backend.Status;
using Platform.Backend.Templates;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Console;

/// <summary>The page with the state of the connections between the services, and the forms that redrive and discard dead letters.</summary>
internal static class ResiliencePages
{
    private const string Backend = "backend";
    private const int ShownDeadLetters = 50;
    private const int ShownCalls = 20;
    private const int RefreshSeconds = 2;

    // The page matters most during an outage, so it waits no longer than the service probes do.
    private static readonly TimeSpan ReadTimeout = TimeSpan.FromSeconds(1);

    public static async Task<IResult> Show(
        string? said,
        ServiceProbes probes,
        CommunicationStatus communication,
        Caller caller,
        Backlogs backlogs,
        DeadLetters deadLetters,
        StoreDeployerMessages deployer,
        ListShopIds listShops,
        TemplateCatalog templates,
        TimeProvider time,
        CancellationToken cancellationToken)
    {
        // First: breaker state must include this call, and the time-out for the others must start afterwards.
        var stale = await StaleForAsync(templates, time, cancellationToken);
        using var timeout = new CancellationTokenSource(ReadTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        var states = probes.AskAllAsync(cancellationToken);
        var own = ReadAsync(Backend, () => backlogs.ListAsync(either.Token), async () => await deadLetters.ListAsync(null, ShownDeadLetters, await listShops.ExecuteAsync(either.Token), either.Token), cancellationToken);
        var theirs = ReadAsync(StoreDeployer.Name, () => deployer.ListBacklogAsync(either.Token), async () => await deployer.ListDeadLettersAsync(ShownDeadLetters, await listShops.ExecuteAsync(either.Token), either.Token), cancellationToken);
        return new PageResult<ResiliencePage>(new()
        {
            [nameof(ResiliencePage.Services)] = await states,
            [nameof(ResiliencePage.TemplatesStaleFor)] = stale,
            [nameof(ResiliencePage.Messages)] = (IReadOnlyList<MessagesOfService>)[await own, await theirs],
            [nameof(ResiliencePage.Calls)] = (IReadOnlyList<LoggedCall>)[.. communication.CallsFor(caller).Take(ShownCalls)],
            [nameof(ResiliencePage.Said)] = said,
            [nameof(ResiliencePage.RefreshSeconds)] = (int?)RefreshSeconds,
        });
    }

    public static async Task<IResult> Redrive(
        string service, Guid? id, HttpRequest request, DeadLetters deadLetters, StoreDeployerMessages deployer, ListShopIds listShops, CancellationToken cancellationToken)
    {
        var type = (await request.ReadFormAsync(cancellationToken))["type"] is [{ Length: > 0 } only] ? only : null;
        var shops = await listShops.ExecuteAsync(cancellationToken);
        return AnswerOf(service, service switch
        {
            Backend => await deadLetters.RedriveAsync(id, type, shops, cancellationToken) > 0 || id is null || shops is null,
            StoreDeployer.Name => await deployer.RedriveAsync(id, type, shops, cancellationToken),
            _ => null,
        });
    }

    public static async Task<IResult> Discard(
        string service, Guid id, DeadLetters deadLetters, StoreDeployerMessages deployer, ListShopIds listShops, CancellationToken cancellationToken)
    {
        var shops = await listShops.ExecuteAsync(cancellationToken);
        return AnswerOf(service, service switch
        {
            Backend => await deadLetters.DiscardAsync(id, shops, cancellationToken) || shops is null,
            StoreDeployer.Name => await deployer.DiscardAsync(id, shops, cancellationToken),
            _ => null,
        });
    }

    /// <summary>The response to a form. <paramref name="done"/> is false if none of the owner's shops has the dead letter, and null if there is no such service.</summary>
    /// <remarks>Never false for an administrator: the dead letter was redriven or discarded meanwhile, and that is not an error.</remarks>
    private static IResult AnswerOf(string service, bool? done) => done switch
    {
        true => TypedResults.Ok(new { done }),
        false => Problem.NotFound("None of your shops has such a dead letter."),
        null => Problem.NotFound($"'{service}' has no dead letters."),
    };

    /// <summary>The age of the cached templates that other pages show; null when the registry answers or nothing is cached.</summary>
    private static async Task<TimeSpan?> StaleForAsync(TemplateCatalog templates, TimeProvider time, CancellationToken cancellationToken)
    {
        try
        {
            // The catalog has its own, shorter time-out, after which it returns the cached templates.
            return await templates.ListAsync(cancellationToken).WaitAsync(2 * ReadTimeout, time, cancellationToken) is { Stale: true, Age: var age } ? age : null;
        }
        catch (Exception exception) when (IsUnavailable(exception, cancellationToken))
        {
            return null;
        }
    }

    /// <summary>Reads a service's messages; a service that is unavailable is shown as such beside the others.</summary>
    private static async Task<MessagesOfService> ReadAsync(
        string service, Func<Task<IReadOnlyList<Backlog>>> listBacklog, Func<Task<IReadOnlyList<DeadLetter>>> listDeadLetters, CancellationToken cancellationToken)
    {
        try
        {
            return new(service, await listBacklog(), await listDeadLetters());
        }
        catch (Exception exception) when (IsUnavailable(exception, cancellationToken))
        {
            return new(service, null, []);
        }
    }

    private static bool IsUnavailable(Exception exception, CancellationToken cancellationToken) => !cancellationToken.IsCancellationRequested
        && (exception is HttpRequestException or DependencyUnavailableException or Polly.ExecutionRejectedException or OperationCanceledException or TimeoutException or JsonException
            || DatabaseProblems.IsUnavailable(exception));
}

/// <summary>The outgoing messages of a service.</summary>
/// <param name="Service">The service.</param>
/// <param name="Backlogs">Per destination; null when the service is unavailable.</param>
/// <param name="DeadLetters">The oldest dead letters.</param>
public sealed record MessagesOfService(string Service, IReadOnlyList<Backlog>? Backlogs, IReadOnlyList<DeadLetter> DeadLetters);
