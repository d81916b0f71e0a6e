using System.Security.Cryptography;
using System.Text;
using Aspire.Hosting.ApplicationModel;
using Aspire.Hosting.Dashboard.Protocol;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.Dashboard;

/// <summary>The calls that the dashboard makes.</summary>
internal sealed partial class ResourceService(
    ResourceFeed feed, ResourceLoggerService logs, ResourceCommandService commands, string applicationName, string? apiKey, ILogger<ResourceService> logger)
{
    public const string ApiKeyHeader = "x-resource-service-api-key";
    private const string ServicePath = "/aspire.v1.DashboardService/";

    // The dashboard takes messages of up to 4 MiB; a character is at most three bytes.
    private const int MaxCharactersPerMessage = 1024 * 1024;

    public Task HandleAsync(HttpContext context, CancellationToken stopping) => Grpc.AnswerAsync(
        context,
        async () =>
        {
            Authenticate(context);
            using var cancellation = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, stopping);
            await CallAsync(context, cancellation.Token);
        },
        exception => LogCallFailed(exception, context.Request.Path));

    private Task CallAsync(HttpContext context, CancellationToken cancellationToken) => context.Request.Path.Value switch
    {
        ServicePath + "GetApplicationInformation" => GetApplicationInformationAsync(context, cancellationToken),
        ServicePath + "WatchResources" => WatchResourcesAsync(context, cancellationToken),
        ServicePath + "WatchResourceConsoleLogs" => WatchResourceConsoleLogsAsync(context, cancellationToken),
        ServicePath + "ExecuteResourceCommand" => ExecuteResourceCommandAsync(context, cancellationToken),
        ServicePath + "WatchInteractions" => StayOpenAsync(context, cancellationToken),
        _ => throw new GrpcException(GrpcStatus.Unimplemented, "There is no such method."),
    };

    private void Authenticate(HttpContext context)
    {
        if (apiKey is null)
            return;

        var given = context.Request.Headers[ApiKeyHeader].ToString();
        if (!CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(given), Encoding.UTF8.GetBytes(apiKey)))
            throw new GrpcException(GrpcStatus.Unauthenticated, $"The header {ApiKeyHeader} is missing or wrong.");
    }

    private Task GetApplicationInformationAsync(HttpContext context, CancellationToken cancellationToken) =>
        Grpc.WriteAsync(context, new ApplicationInformationResponse { ApplicationName = applicationName }, cancellationToken);

    private async Task WatchResourcesAsync(HttpContext context, CancellationToken cancellationToken)
    {
        using var subscription = feed.Subscribe();
        await Grpc.WriteAsync(
            context, new WatchResourcesUpdate { InitialData = new InitialResourceData { Resources = { subscription.Initial } } }, cancellationToken);

        while (true)
        {
            var changes = new WatchResourcesChanges();
            foreach (var resource in await subscription.NextAsync(cancellationToken))
                changes.Value.Add(new WatchResourcesChange { Upsert = resource });
            await Grpc.WriteAsync(context, new WatchResourcesUpdate { Changes = changes }, cancellationToken);
        }
    }

    private async Task WatchResourceConsoleLogsAsync(HttpContext context, CancellationToken cancellationToken)
    {
        var request = await Grpc.ReadAsync(context, WatchResourceConsoleLogsRequest.Parser, cancellationToken);
        await context.Response.StartAsync(cancellationToken);

        var batches = request.SuppressFollow ? logs.GetAllAsync(request.ResourceName) : logs.WatchAsync(request.ResourceName);
        await foreach (var batch in batches.WithCancellation(cancellationToken))
        {
            var update = new WatchResourceConsoleLogsUpdate();
            var characters = 0;
            foreach (var line in batch)
            {
                var text = line.Content.Length > MaxCharactersPerMessage ? line.Content[..MaxCharactersPerMessage] : line.Content;
                if (characters + text.Length > MaxCharactersPerMessage)
                {
                    await Grpc.WriteAsync(context, update, cancellationToken);
                    (update, characters) = (new WatchResourceConsoleLogsUpdate(), 0);
                }

                update.LogLines.Add(new ConsoleLogLine { LineNumber = line.LineNumber, Text = text, IsStdErr = line.IsErrorMessage });
                characters += text.Length;
            }

            await Grpc.WriteAsync(context, update, cancellationToken);
        }
    }

    private async Task ExecuteResourceCommandAsync(HttpContext context, CancellationToken cancellationToken)
    {
        var request = await Grpc.ReadAsync(context, ResourceCommandRequest.Parser, cancellationToken);
        var result = await commands.ExecuteCommandAsync(request.ResourceName, request.CommandName, cancellationToken);
        var response = new ResourceCommandResponse
        {
            Kind = result switch
            {
                { Canceled: true } => ResourceCommandResponseKind.Cancelled,
                { Success: true } => ResourceCommandResponseKind.Succeeded,
                _ => ResourceCommandResponseKind.Failed,
            },
        };
        if (result.Message is { } message)
        {
            response.Message = message;
            response.ErrorMessage = message;
        }

        await Grpc.WriteAsync(context, response, cancellationToken);
    }

    private static async Task StayOpenAsync(HttpContext context, CancellationToken cancellationToken)
    {
        await context.Response.StartAsync(cancellationToken);
        await Task.Delay(Timeout.Infinite, cancellationToken);
    }

    [LoggerMessage(Level = LogLevel.Error, Message = "The dashboard's call {Path} failed.")]
    private partial void LogCallFailed(Exception exception, string path);
}
