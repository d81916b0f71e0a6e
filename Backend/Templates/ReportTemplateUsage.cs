using Platform.Backend.Database;
using Platform.ServiceDefaults.Communication;
using Platform.ServiceDefaults.Postgres.Database;

namespace Platform.Backend.Templates;

/// <summary>Reports to the registry how many shops use each template. Best effort: each report contains the totals, so a lost one is made up for by the next.</summary>
internal sealed partial class ReportTemplateUsage(TemplateRegistryClient registry, PostgresDatabase database, Fallbacks fallbacks, ILogger<ReportTemplateUsage> logger)
{
    public static readonly Fallback Fallback = new("template-registry", "usage statistics", FallbackKind.BestEffort);

    public async Task ExecuteAsync(CancellationToken cancellationToken)
    {
        try
        {
            foreach (var (template, shops) in await CountAsync(cancellationToken))
                await registry.ReportUsageAsync(template, shops, cancellationToken);
        }
        catch (Exception exception) when (DatabaseProblems.IsUnavailable(exception) || exception is HttpRequestException)
        {
            fallbacks.Use(Fallback);
            LogNotReported(logger, exception.Message);
        }
    }

    private Task<List<(string Template, int Shops)>> CountAsync(CancellationToken cancellationToken) => database.ReadAsync(async connection =>
    {
        await using var command = connection.Command("select template_name, count(*)::int from shops group by template_name");
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        var counts = new List<(string, int)>();
        while (await reader.ReadAsync(cancellationToken))
            counts.Add((reader.GetString(0), reader.GetInt32(1)));
        return counts;
    }, cancellationToken);

    [LoggerMessage(LogLevel.Information, "event=resilience Could not report the use of templates to the registry: {Reason}")]
    private static partial void LogNotReported(ILogger logger, string reason);
}
