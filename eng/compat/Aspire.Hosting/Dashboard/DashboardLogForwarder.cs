using System.Text.Json;
using Aspire.Hosting.ApplicationModel;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Aspire.Hosting.Dashboard;

/// <summary>Puts what the dashboard warns of into the AppHost's own log, until the application stops: what it says then is just that we are gone.</summary>
internal sealed class DashboardLogForwarder(
    ResourceNotificationService notifications,
    ResourceLoggerService logs,
    DistributedApplicationModel model,
    IHostApplicationLifetime lifetime,
    ILoggerFactory loggerFactory) : BackgroundService
{
    private const string CategoryPrefix = "Aspire.Dashboard.";

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var cancellation = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken, lifetime.ApplicationStopping);
        try
        {
            await foreach (var update in notifications.WatchAsync(cancellation.Token))
            {
                if (ReferenceEquals(update.Resource, model.FindDashboard()))
                {
                    await foreach (var batch in logs.WatchAsync(update.ResourceId).WithCancellation(cancellation.Token))
                    {
                        foreach (var line in batch)
                            Forward(line);
                    }
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The application stops.
        }
    }

    private void Forward(LogLine line)
    {
        // A time stamp may stand before the JSON that the dashboard was told to write.
        var start = line.Content.IndexOf('{', StringComparison.Ordinal);
        try
        {
            if (start >= 0 && JsonSerializer.Deserialize<Entry>(line.Content.AsSpan(start)) is { } entry && Enum.TryParse<LogLevel>(entry.LogLevel, out var level))
            {
                if (level >= LogLevel.Warning)
                    Write(entry.Category ?? string.Empty, level, entry.Exception is null ? entry.Message ?? string.Empty : entry.Message + Environment.NewLine + entry.Exception);
                return;
            }
        }
        catch (JsonException)
        {
            // Written by something that does not know of the format, such as the runtime.
        }

        Write("Console", line.IsErrorMessage ? LogLevel.Error : LogLevel.Information, line.Content);
    }

    private void Write(string category, LogLevel level, string message)
    {
        var name = category.StartsWith(CategoryPrefix, StringComparison.Ordinal) ? category[CategoryPrefix.Length..] : category;
        var logger = loggerFactory.CreateLogger("Aspire.Hosting.Dashboard." + name);
        logger.Log(level, default, message, exception: null, (state, _) => state);
    }

    private sealed record Entry(string? LogLevel, string? Category, string? Message, string? Exception);
}
