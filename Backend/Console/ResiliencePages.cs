using System.Text.Json;
using Platform.Backend.Console.Pages;
using Platform.Backend.Shops;
using Platform.Backend.Status;
using Platform.Backend.Templates;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;
using Platform.ServiceDefaults.Postgres.Messaging;
using Platform.ServiceDefaults.Problems;

namespace Platform.Backend.Console;

/// <summary>The page that shows how the services get on with each other, and the buttons that decide on dead letters.</summary>
internal static class ResiliencePages
{
    private const string Backend = "backend";
    private const int ShownDeadLetters = 50;
    private const int ShownCalls = 20;
    private const int RefreshSeconds = 2;

    // as long as the probes of the services take at most: the page is read when something is away
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    public static async Task<IResult> Show(
        string? updates,
        string? said,
        ServiceProbes probes,
        CommunicationStatus communication,
        Backlogs backlogs,
        DeadLetters deadLetters,
        StoreDeployerMessages deployer,
        ListShopIds listShops,
        TemplateCatalog templates,
        TimeProvider time,
        CancellationToken cancellationToken)
    {
        // first, so that the states tell also of what this call met, and before anybody's patience begins
        var stale = await StaleForAsync(templates, time, cancellationToken);
        using var patience = new CancellationTokenSource(Patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        var states = probes.AskAllAsync(cancellationToken);
        var own = ReadAsync(Backend, () => backlogs.ListAsync(either.Token), async () => await deadLetters.ListAsync(null, ShownDeadLetters, await listShops.ExecuteAsync(either.Token), either.Token), cancellationToken);
        var theirs = ReadAsync(StoreDeployerMessages.Service, () => deployer.ListBacklogAsync(either.Token), async () => await deployer.ListDeadLettersAsync(ShownDeadLetters, await listShops.ExecuteAsync(either.Token), either.Token), cancellationToken);
        return new PageResult<ResiliencePage>(new()
        {
            [nameof(ResiliencePage.Services)] = await states,
            [nameof(ResiliencePage.TemplatesStaleFor)] = stale,
            [nameof(ResiliencePage.Messages)] = (IReadOnlyList<MessagesOfService>)[await own, await theirs],
            [nameof(ResiliencePage.Calls)] = (IReadOnlyList<LoggedCall>)[.. communication.Calls.Take(ShownCalls)],
            [nameof(ResiliencePage.Said)] = said,
            [nameof(ResiliencePage.RefreshSeconds)] = updates == "off" ? null : RefreshSeconds,
        });
    }

    public static async Task<IResult> Redrive(
        string service, Guid? id, HttpRequest request, DeadLetters deadLetters, StoreDeployerMessages deployer, ListShopIds listShops, CancellationToken cancellationToken)
    {
        var type = (await request.ReadFormAsync(cancellationToken))["type"] is [{ Length: > 0 } only] ? only : null;
        var shops = await listShops.ExecuteAsync(cancellationToken);
        switch (service)
        {
            case Backend:
                if (await deadLetters.RedriveAsync(id, type, shops, cancellationToken) == 0 && id is not null && shops is not null)
                    return NotYours();
                break;
            case StoreDeployerMessages.Service:
                if (!await deployer.RedriveAsync(id, type, shops, cancellationToken))
                    return NotYours();
                break;
            default:
                return Problem.NotFound($"'{service}' has no dead letters.");
        }

        return TypedResults.Ok(new { redriven = true });
    }

    public static async Task<IResult> Discard(
        string service, Guid id, DeadLetters deadLetters, StoreDeployerMessages deployer, ListShopIds listShops, CancellationToken cancellationToken)
    {
        var shops = await listShops.ExecuteAsync(cancellationToken);
        switch (service)
        {
            case Backend:
                if (!await deadLetters.DiscardAsync(id, shops, cancellationToken) && shops is not null)
                    return NotYours();
                break;
            case StoreDeployerMessages.Service:
                if (!await deployer.DiscardAsync(id, shops, cancellationToken))
                    return NotYours();
                break;
            default:
                return Problem.NotFound($"'{service}' has no dead letters.");
        }

        return TypedResults.Ok(new { discarded = true });
    }

    // an administrator's may have been decided on meanwhile, which is no failure
    private static Microsoft.AspNetCore.Http.HttpResults.ProblemHttpResult NotYours() => Problem.NotFound("There is no such dead letter about one of your shops.");

    /// <summary>How old the templates are that other pages show; null when the registry can be asked, and when there are none to show.</summary>
    private static async Task<TimeSpan?> StaleForAsync(TemplateCatalog templates, TimeProvider time, CancellationToken cancellationToken)
    {
        try
        {
            // it has a patience of its own, after which it gives what it has
            return await templates.ListAsync(cancellationToken).WaitAsync(2 * Patience, time, cancellationToken) is { Stale: true, Age: var age } ? age : null;
        }
        catch (Exception exception) when (IsUnavailable(exception, cancellationToken))
        {
            return null;
        }
    }

    /// <summary>What can't be asked now is shown as such, beside what can.</summary>
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

/// <summary>What a service has yet to send.</summary>
/// <param name="Service">The service.</param>
/// <param name="Backlogs">By destination; null when it can't be asked.</param>
/// <param name="DeadLetters">The oldest of what was refused for good.</param>
public sealed record MessagesOfService(string Service, IReadOnlyList<Backlog>? Backlogs, IReadOnlyList<DeadLetter> DeadLetters);
